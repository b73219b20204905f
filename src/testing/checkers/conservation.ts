import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/** What the user says must always be true (money is neither made nor lost) is true of every committed snapshot. */
export function conservation(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const wrong = reading.options.promises?.conservation
  if (wrong === undefined) return []
  return reading.snapshots.flatMap(({ index, operation }) => {
    const why = wrong(operation.state, operation)
    return why === undefined
      ? []
      : [violation('conservation', `A committed snapshot of ${operation.of} is wrong: ${why}.`, [index])]
  })
}
