import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, isClosed, isWithPerson, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * What is shown to a person is not applied as well: they would act on what is already done. An item about a late message says
 * itself that it may have been applied before.
 */
export function attention(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('attention')) {
    for (const handled of group.handled.values()) {
      const shown = handled.attention.at(-1)
      const effect = handled.happened[0]
      if (shown === undefined || effect === undefined || shown.operation.kind === 'late-message') continue
      if (!isWithPerson(handled) || isClosed(handled)) continue
      const what = `${named(handled.message)} is shown to a person as waiting for group ${group.group}, and it was applied.`
      found.push(violation('attention', what, [shown.index, effect.index], aboutGroup(handled.message, group)))
    }
  }
  return found
}
