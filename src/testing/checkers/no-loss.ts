import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { isClosed, isWithPerson, mayBeApplied, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Every message that was certainly published has been applied by every group that is owed it, or was closed by a person, or is
 * with one, or is still on its way. Judged at a quiet end, and at any end that tells what is still waiting.
 */
export function noLoss(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const { end } = reading
  if (end === undefined || (!end.operation.quiet && end.operation.waiting === undefined)) return []
  const found: Violation[] = []
  for (const group of reading.groups('no-loss')) {
    for (const message of reading.owed(group)) {
      const handled = group.handled.get(message)
      if (
        message.erased !== 'no' ||
        (handled !== undefined && (mayBeApplied(handled) || isClosed(handled) || isWithPerson(handled)))
      )
        continue
      const waiting = reading.isWaiting(message, group.group)
      if (waiting === true || (waiting === undefined && reading.mayBeBehind(message, group))) continue
      const what = `${named(message)} was published, and at the end group ${group.group} has neither applied it nor is it anywhere to be seen.`
      const { topic, identity } = message
      found.push(violation('no-loss', what, [publishOf(message), end.index], { topic, group: group.group, identity }))
    }
  }
  return found
}
