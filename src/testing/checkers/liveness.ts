import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, isClosed, isWithPerson, mayBeApplied, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * After the last fault, with all the time and all the workers it needs, everything published ends applied, closed by a person or
 * in attention. Judged at a quiet end that tells what is waiting; without that list, what is stuck counts as lost.
 */
export function liveness(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const { end } = reading
  if (end?.operation.waiting === undefined || !end.operation.quiet) return []
  const found: Violation[] = []
  for (const group of reading.groups('liveness')) {
    for (const message of reading.owed(group)) {
      if (message.erased !== 'no' || reading.isWaiting(message, group.group) !== true) continue
      const handled = group.handled.get(message)
      if (handled !== undefined && (mayBeApplied(handled) || isClosed(handled) || isWithPerson(handled))) continue
      if (reading.mayBeBehind(message, group)) continue
      const since = reading.lastFault < 0 ? 'in a run without faults' : 'long after the last fault'
      const what = `${named(message)} is still waiting for group ${group.group} ${since}, and nothing holds it up.`
      found.push(violation('liveness', what, [publishOf(message), reading.lastFault, end.index], aboutGroup(message, group)))
    }
  }
  return found
}
