import { transactionEnded } from '../errors.ts'

/**
 * Runs `work` in the transaction that `begin` opens, and answers what it answered once `begin` has resolved. Libraries differ in what
 * they make of a callback that fails, or that ends the transaction by itself: what became of `work` is therefore noted here.
 *
 * @throws What `work` threw, as it was; whatever else `begin` rejects with, only where `work` itself came to its end.
 */
export async function runThrough<Tx, R>(
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
    await worked
    throw error
  }
  if (worked === undefined) throw transactionEnded()
  return await worked
}
