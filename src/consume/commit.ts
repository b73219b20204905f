import type { Session, WriteOptions } from '../database/database.ts'
import { isOnefoldError } from '../errors.ts'
import type { Awaitable } from '../message.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import { isInfrastructure } from './failure.ts'
import { Lost, PublishRefused } from './strategy.ts'

const firstWaitMs = 50
const longestWaitMs = 5_000

/**
 * Commits `work` under the partition's lease, fenced, however long the disk is full or the file busy: nobody else may
 * have the messages meanwhile, and none of it is their fault.
 *
 * @throws Lost when the fence refused the commit; otherwise only what `work` itself is to blame for
 *   (`TRANSACTION_ENDED`, `COMMIT_REFUSED`).
 */
export async function commitUnderLease<R>(
  context: ConsumerContext,
  state: PartitionState,
  work: (session: Session<unknown>) => Awaitable<R>,
  options: Pick<WriteOptions, 'alone' | 'nested' | 'handsOutTx'> = {},
): Promise<R> {
  const { database, runtime, subscription } = context
  const what = `consume ${subscription.topic}/${subscription.group}`
  const under = { lease: state.lease, subscription, partition: state.partition }
  let mayHaveCommitted = false
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(longestWaitMs, waitMs * 2)) {
    try {
      return await database.write(
        async (session) => {
          const begun = runtime.reached?.('consume:begun')
          if (begun !== undefined) await begun
          await session.ownership.guard(state.lease)
          const guarded = runtime.reached?.('consume:guarded')
          if (guarded !== undefined) await guarded
          // What an earlier try may have parked holds its lane, and only the table knows.
          if (mayHaveCommitted) state.held = new Set(await session.parked.heldLanes(subscription, state.partition))
          return work(session)
        },
        { what, under, ...options, ...(options.handsOutTx === true ? { timeoutMs: context.settings.timeoutMs } : {}) },
      )
    } catch (error) {
      if (error instanceof PublishRefused) throw error
      if (isOnefoldError(error, 'FENCED')) {
        context.report({ kind: 'fenced', partition: state.partition, message: error.message, error })
        await database.write((session) => session.groups.countFenced(subscription), { what }).catch(() => undefined)
        throw new Lost(error.message)
      }
      if (isOnefoldError(error, 'MOVED_TO')) {
        context.report({ kind: 'moved', partition: state.partition, message: error.message, error })
        throw new Lost(error.message)
      }
      const blamed = isOnefoldError(error) && (error.code === 'TRANSACTION_ENDED' || error.code === 'COMMIT_REFUSED')
      if (blamed && !isInfrastructure(error)) throw error
      if (isOnefoldError(error, 'NOT_FOUND') || isOnefoldError(error, 'APP_STOPPED')) throw new Lost((error as Error).message)
      context.report({
        kind: 'database-error',
        partition: state.partition,
        message: (error as Error)?.message ?? String(error),
        error,
      })
      mayHaveCommitted ||= isOnefoldError(error) && error.outcome === 'unknown'
      if (state.handlers.aborted) throw new Lost('stopped while the database could not be written')
      await runtime.sleep(waitMs, state.handlers)
    }
  }
}
