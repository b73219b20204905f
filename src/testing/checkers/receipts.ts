import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Of all publishes of one identity at most one is told 'accepted', and none is told 'duplicate' unless another may have
 * happened: a wrong 'duplicate' is a loss that looks like success.
 */
export function receipts(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const recognised = reading.options.promises?.repeatsRecognised ?? true
  const found: Violation[] = []
  for (const ofTopic of reading.messages.values()) {
    for (const message of ofTopic.values()) {
      const { topic, identity, publishes } = message
      let accepted = -1
      for (const { index, operation } of publishes) {
        if (operation.receipt === 'accepted' && recognised) {
          const what = `Two publishes of ${named(message)} were both told 'accepted'.`
          if (accepted >= 0) found.push(violation('receipts', what, [accepted, index], { topic, identity }))
          else accepted = index
        }
        if (operation.receipt === 'duplicate' && !mayHaveAnother(publishes, index)) {
          const what = `A publish of ${named(message)} was told 'duplicate', and there is no other that may have happened.`
          found.push(
            violation(
              'receipts',
              what,
              publishes.map((each) => each.index),
              { topic, identity },
            ),
          )
        }
      }
    }
  }
  return found
}

/** Not one that was itself told 'duplicate': of those, one must have been the first. */
function mayHaveAnother(
  publishes: readonly { readonly index: number; readonly operation: { readonly outcome: string; readonly receipt?: string } }[],
  index: number,
): boolean {
  return publishes.some(
    (other) => other.index !== index && other.operation.outcome !== 'did-not-happen' && other.operation.receipt !== 'duplicate',
  )
}
