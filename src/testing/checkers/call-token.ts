import type { History, RequestOperation } from '../history.ts'
import { callsOf, doubtsOf } from './call-rounds.ts'
import type { At, Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * A new token is used only when it is known that nothing happened under the one before: the outside world takes a request
 * under another token for another request.
 */
export function callToken(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('call-token')) {
    for (const handled of group.handled.values()) {
      if (handled.requests.length < 2) continue
      for (const [call, seen] of callsOf(handled)) {
        const doubts = doubtsOf(seen)
        const tokens = new Set<string>()
        let last: At<RequestOperation> | undefined
        for (const at of seen.requests) {
          const { token } = at.operation
          const doubt = last === undefined || tokens.has(token) ? undefined : doubts(last.operation.token, at.index)
          if (doubt !== undefined) {
            const what = `Call ${call} for ${named(handled.message)} was asked for under a new token although what was asked for under the old one may have happened.`
            found.push(violation('call-token', what, [doubt, at.index], aboutGroup(handled.message, group)))
          }
          tokens.add(token)
          last = at
        }
      }
    }
  }
  return found
}
