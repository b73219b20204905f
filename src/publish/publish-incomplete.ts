import { OnefoldError } from '../errors.ts'
import type { Receipt } from '../message.ts'

/** `publishMany` could not publish all: `results[i]` is the receipt of item `i`, or why it was refused. */
export class PublishIncompleteError extends OnefoldError {
  readonly results: readonly (Receipt | OnefoldError)[]

  constructor(results: readonly (Receipt | OnefoldError)[]) {
    const failed = results.filter((result) => result instanceof OnefoldError)
    const first = failed[0]
    super(
      'PUBLISH_INCOMPLETE',
      `${failed.length} of ${results.length} messages were not published; the first: ${first?.message ?? ''} See error.results for each.`,
      {
        outcome: failed.some((error) => error.outcome === 'unknown')
          ? 'unknown'
          : failed.length === results.length
            ? 'not-applied'
            : 'applied',
        retry: failed.every((error) => error.retry === 'never') ? 'never' : 'later',
        cause: first,
        details: { published: results.length - failed.length, refused: failed.length },
      },
    )
    this.results = results
  }
}
