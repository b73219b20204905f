import { isOnefoldError, OnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import type { Execute, PostgresClient, PostgresConnection } from './client.ts'
import { commitUnknown, explainError, isConnectionLost, isConstraint, isServerTrouble, transactionEnded } from './errors.ts'
import { textOf } from './sql.ts'
import type { Transactions } from './transactions.ts'

/** How long the server is asked what became of a COMMIT, when it cannot be reached or is still at it. */
const askMs = 30_000
const askEveryMs = 100

/**
 * A transaction's number, and the timeline it was given on: after a failover to another server the same number may be
 * another transaction's.
 */
export interface TransactionMark {
  readonly xid: string
  readonly timeline: string
}

const mark = 'pg_current_xact_id()::text as xid, left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline'

export interface RunOptions {
  readonly client: PostgresClient
  readonly runtime: Runtime
  readonly idleInTransactionMs: number
  readonly where: string
  /** No statement waits longer for a lock. */
  readonly lockTimeoutMs?: number
}

/** What a transaction's work is given. */
export interface OpenTransaction {
  readonly execute: Execute
  /** Where the user's client runs the transaction: its handle. */
  readonly tx: unknown
  /** Where it runs on a connection of ours. */
  readonly connection: PostgresConnection | undefined
}

/**
 * Runs `work` in a transaction of its own on a connection of the pool.
 *
 * @throws OnefoldError `COMMIT_UNKNOWN` only where the server could not say what became of it; everything else means that nothing was
 *   committed.
 */
export async function runOwn<R>(
  options: RunOptions,
  work: (open: OpenTransaction) => Promise<R>,
  checked: () => boolean,
): Promise<R> {
  const { client, idleInTransactionMs, where } = options
  const connection = await client.connect().catch((error) => {
    throw explainError(error, where)
  })
  let begun: TransactionMark | undefined
  let committing = false
  let broken = true
  try {
    const settings = [`idle_in_transaction_session_timeout = ${idleInTransactionMs}`]
    if (options.lockTimeoutMs !== undefined) settings.push(`lock_timeout = ${options.lockTimeoutMs}`)
    const [row] = await connection.begin(settings, `select ${mark}`)
    begun = { xid: textOf(row?.xid), timeline: textOf(row?.timeline) }
    const result = await work({ execute: connection.execute, tx: undefined, connection })
    if (checked()) await assertStillIn(connection.execute, begun)
    await options.runtime.reached?.('commit:before')
    committing = true
    const committed = await connection.commit()
    broken = false
    if (!committed) throw transactionEnded()
    return result
  } catch (error) {
    if (committing && broken && isConnectionLost(error) && begun !== undefined) {
      if (await hasCommitted(options, begun, error)) throw new Committed()
      throw explainError(error, where)
    }
    if (committing && broken) broken = false
    else if (!committing) {
      try {
        await connection.execute('rollback')
        broken = false
      } catch {
        // Closed below; the server rolls back by itself.
      }
    }
    if (committing && isConstraint(error)) throw commitRefused(error, where)
    throw error instanceof OnefoldError || (!committing && !isServerTrouble(error)) ? error : explainError(error, where)
  } finally {
    connection.release(broken)
  }
}

/** The answer to COMMIT was lost, and the server says it has committed: for whoever holds the result. */
export class Committed extends Error {}

/** The same where the user's client runs the transaction. */
export async function runWith<Tx, R>(
  options: RunOptions,
  transactions: Transactions<Tx>,
  work: (open: OpenTransaction) => Promise<R>,
): Promise<R> {
  const { idleInTransactionMs, where } = options
  let begun: TransactionMark | undefined
  let done = false
  let result: R
  try {
    result = await transactions.run(async (tx) => {
      const execute = transactions.execute(tx)
      const [row] = await execute(
        `select set_config('idle_in_transaction_session_timeout', $1, true),
           set_config('lock_timeout', coalesce($2, current_setting('lock_timeout')), true), current_setting('transaction_isolation') as isolation, ${mark}`,
        [String(idleInTransactionMs), options.lockTimeoutMs === undefined ? null : String(options.lockTimeoutMs)],
      )
      if (textOf(row?.isolation) !== 'read committed') throw wrongIsolation(transactions.library, textOf(row?.isolation), where)
      begun = { xid: textOf(row?.xid), timeline: textOf(row?.timeline) }
      const worked = await work({ execute, tx, connection: undefined })
      await assertStillIn(execute, begun)
      await options.runtime.reached?.('commit:before')
      done = true
      return worked
    })
  } catch (error) {
    if (done && begun !== undefined && isConnectionLost(error)) {
      if (await hasCommitted(options, begun, error)) throw new Committed()
      throw explainError(error, where)
    }
    if (done && isConstraint(error) && !isOnefoldError(error)) throw commitRefused(error, where)
    throw done || isServerTrouble(error) ? explainError(error, where) : error
  }
  // A statement that the handler left behind may have failed after the last look: COMMIT rolls back then, and most libraries
  // take that for success.
  if (begun !== undefined && (await wasRolledBack(options, begun))) throw transactionEnded()
  return result
}

/** What the library says is believed where the server cannot be asked. */
async function wasRolledBack({ client }: RunOptions, { xid }: TransactionMark): Promise<boolean> {
  try {
    const [row] = await client.execute('select pg_xact_status($1::text::xid8) as status', [xid])
    return row?.status === 'aborted'
  } catch {
    return false
  }
}

/** @throws OnefoldError `TRANSACTION_ENDED` when user SQL has ended the transaction, or left it failed. */
async function assertStillIn(execute: Execute, { xid }: TransactionMark): Promise<void> {
  let current: string
  try {
    const [row] = await execute('select pg_current_xact_id_if_assigned()::text as xid')
    current = textOf(row?.xid)
  } catch (error) {
    if (isConnectionLost(error)) throw error
    throw transactionEnded(error)
  }
  if (current !== xid) throw transactionEnded()
}

/**
 * Asks the server, which knows of every recent transaction whether it committed. One that is still at it is waited for.
 *
 * @throws OnefoldError `COMMIT_UNKNOWN` when it does not say, or is not the server it was.
 */
async function hasCommitted(
  { client, runtime, where }: RunOptions,
  { xid, timeline }: TransactionMark,
  lost: unknown,
): Promise<boolean> {
  const until = runtime.monotonicMs() + askMs
  while (runtime.monotonicMs() < until) {
    try {
      const [row] = await client.execute(
        'select pg_xact_status($1::text::xid8) as status, left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline',
        [xid],
      )
      if (textOf(row?.timeline) !== timeline) break
      if (row?.status === 'committed') return true
      if (row?.status === 'aborted') return false
      if (row?.status !== 'in progress') break
    } catch (error) {
      if (!isConnectionLost(error)) break
    }
    await runtime.sleep(askEveryMs)
  }
  throw commitUnknown(lost, where)
}

function commitRefused(error: unknown, where: string): OnefoldError {
  return new OnefoldError(
    'COMMIT_REFUSED',
    `database ${where}: COMMIT was refused by a deferred constraint (${(error as Error).message}).`,
    { cause: error, details: { database: where } },
  )
}

function wrongIsolation(library: string, isolation: string, where: string): OnefoldError {
  return new OnefoldError(
    'DATABASE_UNSUITABLE',
    `database ${where}: ${library} began the transaction at ${isolation}; Onefold's need READ COMMITTED. Remove default_transaction_isolation, or the option that sets it.`,
    { details: { database: where, isolation } },
  )
}
