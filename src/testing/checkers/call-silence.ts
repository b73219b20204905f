import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, isClosed, isWithPerson, mayBeApplied, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Where the outside world acted, the message is applied, closed by a person or in attention: nobody who was charged is forgotten.
 * Judged at a quiet end, and at any end that tells what is still waiting.
 */
export function callSilence(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const { end } = reading
  if (end === undefined || (!end.operation.quiet && end.operation.waiting === undefined)) return []
  const found: Violation[] = []
  for (const group of reading.groups('call-silence')) {
    for (const handled of group.handled.values()) {
      const { message } = handled
      const charge = handled.charges[0]
      if (charge === undefined || mayBeApplied(handled) || isClosed(handled) || isWithPerson(handled)) continue
      if (reading.isWaiting(message, group.group) === true) continue
      const what = `The outside world did call ${charge.operation.call} for ${named(message)}, group ${group.group} never applied it, and no person is told.`
      found.push(violation('call-silence', what, [charge.index, end.index], aboutGroup(message, group)))
    }
  }
  return found
}
