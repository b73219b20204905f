import type { History } from '../history.ts'
import { callsOf, doubtsOf } from './call-rounds.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/** Where the rule of a call is 'ask-person', nothing is asked for again while an earlier request may have happened, under whatever token. */
export function callRepeat(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const calls = reading.options.promises?.calls
  const found: Violation[] = []
  for (const group of reading.groups('call-repeat')) {
    for (const handled of group.handled.values()) {
      if (handled.requests.length < 2) continue
      for (const [call, seen] of callsOf(handled)) {
        if (calls?.[call]?.rule !== 'ask-person') continue
        const doubts = doubtsOf(seen)
        for (const [position, at] of seen.requests.entries()) {
          const before = seen.requests[position - 1]
          const doubt = before && doubts(before.operation.token, at.index)
          if (doubt === undefined) continue
          const what = `Call ${call} for ${named(handled.message)} was asked for again although an earlier request may have happened, and its rule leaves that to a person.`
          found.push(violation('call-repeat', what, [doubt, at.index], aboutGroup(handled.message, group)))
        }
      }
    }
  }
  return found
}
