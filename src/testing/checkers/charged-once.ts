import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * In the outside world's own ledger, at most one entry for each message and call, where that is promised. One violation for
 * each entry beyond the first.
 */
export function chargedOnce(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('charged-once')) {
    for (const { message, charges } of group.handled.values()) {
      if (charges.length < 2) continue
      const first = new Map<string, number>()
      for (const { index, operation } of charges) {
        const { call } = operation
        if (reading.options.promises?.calls?.[call]?.chargedOnce === false) continue
        const before = first.get(call)
        if (before === undefined) first.set(call, index)
        else {
          const what = `The outside world did call ${call} for ${named(message)} of group ${group.group} again.`
          found.push(violation('charged-once', what, [before, index], aboutGroup(message, group)))
        }
      }
    }
  }
  return found
}
