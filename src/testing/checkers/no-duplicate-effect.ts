import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * For each group (and replica) and message, at most one attempt commits. Told by the message's identity, never by a token or an
 * offset, which a fault can make anew. One violation for each effect beyond the first.
 */
export function noDuplicateEffect(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('no-duplicate-effect')) {
    for (const handled of group.handled.values()) {
      if (handled.happened.length < 2) continue
      const { message } = handled
      const first = new Map<string, number>()
      for (const { index, operation } of handled.happened) {
        const before = first.get(operation.replica ?? '')
        if (before === undefined) first.set(operation.replica ?? '', index)
        else {
          const what = `${named(message)} was applied again by group ${group.group}.`
          found.push(violation('no-duplicate-effect', what, [before, index], aboutGroup(message, group)))
        }
      }
    }
  }
  return found
}
