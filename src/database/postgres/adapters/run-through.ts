import { OnefoldError } from '../../../errors.ts'
import { isServerTrouble, transactionEnded } from '../errors.ts'

/**
 * Runs `work` in the transaction that `begin` opens, and answers what it answered once `begin` has resolved. Libraries differ in what
 * they make of a callback that fails, or that ends the transaction by itself: what became of `work` is therefore noted here.
 *
 * @throws What `work` threw, as it was. When `work` came to its end and the transaction did not: what is wrong with the server, as
 *   it was, or else OnefoldError `COMMIT_REFUSED`, for then something that was done in it is to blame.
 */
export async function runThrough<Tx, R>(
  library: string,
  begin: (callback: (tx: Tx) => Promise<void>) => PromiseLike<unknown>,
  work: (tx: Tx) => Promise<R>,
): Promise<R> {
  let worked: Promise<R> | undefined
  try {
    await begin(async (tx) => {
      // A library that begins again by itself would run a handler twice.
      if (worked !== undefined) throw transactionEnded()
      worked = work(tx)
      await worked
    })
  } catch (error) {
    if (worked === undefined) throw error
    // A library may give up before `work` has; two attempts of one message must not run at the same time.
    await worked
    throw isServerTrouble(error) || error instanceof OnefoldError ? error : refused(library, error)
  }
  if (worked === undefined) throw transactionEnded()
  return await worked
}

function refused(library: string, cause: unknown): OnefoldError {
  return new OnefoldError('COMMIT_REFUSED', `${library} rolled the transaction back instead of committing it (${said(cause)}).`, {
    cause,
  })
}

/** By the server, under what the library says of it. */
function said(error: unknown): string {
  const { cause, originalMessage, message } = (error ?? {}) as Record<string, unknown>
  return cause === undefined || cause === null ? String(originalMessage ?? message ?? error) : said(cause)
}
