import { isOnefoldError, OnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import type { Execute, PostgresClient, PostgresConnection, SqlRow } from './client.ts'
import {
  commitUnknown,
  explainError,
  isConflict,
  isConnectionLost,
  isServerTrouble,
  isUndefinedTable,
  sqlState,
  transactionEnded,
} from './errors.ts'
import type { OpenStatements } from './open-statements.ts'
import { goesThroughAgain } from './prepared-statements.ts'
import { textOf, textOrUndefined } from './sql.ts'
import type { Transactions } from './transactions.ts'

/** How long the server is asked what became of a COMMIT, when it cannot be reached or is still at it. */
const askMs = 30_000
const askEveryMs = 100

/**
 * A transaction's number, and where it was given: after a failover to another server, or a crash, the same number may be another
 * transaction's.
 */
export interface TransactionMark {
  readonly xid: string
  readonly timeline: string
  /** Undefined: the server has crashed, and nobody has noticed before. */
  readonly life: string | undefined
}

const timeline = 'left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline'
const mark = (schema: string): string => `o.xid, o.timeline, o.life, o.removals from ${schema}.opened() o`

/** As part of the first statement of a transaction. */
const limit = ({ statementTimeoutMs }: RunOptions): string =>
  statementTimeoutMs === undefined
    ? ''
    : `set_config('statement_timeout', case current_setting('statement_timeout') when '0' then '${statementTimeoutMs}' else current_setting('statement_timeout') end, true), `

const markOf = (row: SqlRow | undefined): TransactionMark => ({
  xid: textOf(row?.xid),
  timeline: textOf(row?.timeline),
  life: lifeOf(row),
})
const lifeOf = (row: SqlRow | undefined): string | undefined => (typeof row?.life === 'string' ? row.life : undefined)

/** The server lives, and its life has a name: for the transactions that begin from now on. */
export async function nameLife(client: PostgresClient, schema: string): Promise<void> {
  if ((await client.execute(`select life from ${schema}.server_life`)).length > 0) return
  await client.execute(
    `insert into ${schema}.server_life (life) select gen_random_uuid()::text
     where not exists (select from ${schema}.server_life) on conflict do nothing`,
  )
}

/** After a transaction that found none. One that fails is followed by another. */
async function nameLifeWhere({ client, schema }: RunOptions, begun: TransactionMark | undefined): Promise<void> {
  if (begun === undefined || begun.life !== undefined) return
  await nameLife(client, schema).catch(() => undefined)
}

export interface RunOptions {
  readonly client: PostgresClient
  readonly runtime: Runtime
  readonly idleInTransactionMs: number
  readonly where: string
  /** Quoted. */
  readonly schema: string
  /** Of the tables there. */
  readonly incarnation: string
  /** After this long the server ends a statement, unless it does so earlier anyway. */
  readonly statementTimeoutMs?: number
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
  readonly xid: string
  /** Of the server, when it began. */
  readonly life: string | undefined
  /** Differs from that of an earlier transaction where something was removed in between that numbers were remembered of. */
  readonly removals: string | undefined
}

/**
 * Runs `work` in a transaction of its own on a connection of the pool. `askFirst` is called when BEGIN has been sent.
 *
 * @throws OnefoldError `COMMIT_UNKNOWN` only where the server could not say what became of it; everything else means that nothing was
 *   committed.
 */
export async function runOwn<R>(
  options: RunOptions,
  work: (open: OpenTransaction) => Promise<R>,
  statements: OpenStatements,
  { askFirst, handedOut }: { readonly askFirst: (execute: Execute) => void; readonly handedOut: () => boolean },
): Promise<R> {
  const { client, idleInTransactionMs, where } = options
  const connection = await client.connect().catch((error) => {
    throw explainError(error, where)
  })
  let begun: TransactionMark | undefined
  let committing = false
  let broken = true
  /** A statement before COMMIT has failed, and the server has rolled back. */
  let failed = false
  try {
    const settings = [`idle_in_transaction_session_timeout = ${idleInTransactionMs}`]
    if (options.lockTimeoutMs !== undefined) settings.push(`lock_timeout = ${options.lockTimeoutMs}`)
    const beginning = connection.begin(settings, `select ${limit(options)}${mark(options.schema)}`)
    askFirst(connection.execute)
    const [row] = await beginning
    begun = markOf(row)
    const result = await work({
      execute: connection.execute,
      tx: undefined,
      connection,
      xid: begun.xid,
      life: begun.life,
      removals: textOrUndefined(row?.removals),
    })
    if (handedOut() && !statements.seen) await assertStillIn(connection.execute, begun)
    await options.runtime.reached?.('commit:before')
    committing = true
    const commit = connection.commit()
    commit.catch(() => undefined)
    const failure = await statements.failure()
    const committed = await commit
    broken = false
    if (failure !== undefined) {
      failed = true
      throw failure
    }
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
    if (committing && !failed && isRefusal(error)) throw commitRefused(error, where)
    throw error instanceof OnefoldError || (!committing && !isServerTrouble(error)) ? error : explainError(error, where)
  } finally {
    connection.release(broken)
    await nameLifeWhere(options, begun)
  }
}

/**
 * Runs statements that commit by themselves. `work` says when one has. Undefined: nothing was written, and the same in a transaction
 * may go through.
 *
 * @throws OnefoldError `COMMIT_UNKNOWN` when the connection is lost, for nobody knows the transaction's number, or when something fails
 *   after a commit. The server is waited for first, so that a repetition has somebody to talk to.
 */
export async function runAtOnce<R>(
  { client, runtime, where }: RunOptions,
  work: (execute: Execute, committed: () => void) => Promise<R>,
): Promise<R | undefined> {
  const connection = await client.connect().catch((error) => {
    throw explainError(error, where)
  })
  let written = false
  let broken = false
  let unknown: unknown
  try {
    return await work(connection.execute, () => {
      written = true
    })
  } catch (error) {
    broken = isConnectionLost(error)
    if (!written && !broken) {
      if (isConflict(error) || goesThroughAgain(error)) return undefined
      throw explainError(error, where)
    }
    unknown = error
  } finally {
    connection.release(broken)
  }
  const until = runtime.monotonicMs() + askMs
  while (runtime.monotonicMs() < until && !(await answers(client))) await runtime.sleep(askEveryMs)
  throw commitUnknown(unknown, where)
}

const answers = (client: PostgresClient): Promise<boolean> =>
  client.execute('select 1').then(
    () => true,
    () => false,
  )

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
           set_config('lock_timeout', coalesce($2, current_setting('lock_timeout')), true), current_setting('transaction_isolation') as isolation,
           (select value from ${options.schema}.meta where name = 'incarnation') as incarnation, ${options.schema}.hold_commit(),
           ${limit(options)}${mark(options.schema)}`,
        [String(idleInTransactionMs), options.lockTimeoutMs === undefined ? null : String(options.lockTimeoutMs)],
      ).catch((error) => {
        throw isUndefinedTable(error) ? otherDatabase(transactions.library, where) : error
      })
      if (row?.incarnation !== options.incarnation) throw otherDatabase(transactions.library, where)
      if (textOf(row?.isolation) !== 'read committed') throw wrongIsolation(transactions.library, textOf(row?.isolation), where)
      begun = markOf(row)
      const worked = await work({
        execute,
        tx,
        connection: undefined,
        xid: begun.xid,
        life: begun.life,
        removals: textOrUndefined(row?.removals),
      })
      await assertStillIn(execute, begun, `select ${options.schema}.free_commit($1::text) as xid`, begun.xid)
      await options.runtime.reached?.('commit:before')
      done = true
      return worked
    })
  } catch (error) {
    if (done && begun !== undefined && isConnectionLost(error)) {
      if (await hasCommitted(options, begun, error)) throw new Committed()
      throw explainError(error, where)
    }
    if (done && isRefusal(error)) throw commitRefused(error, where)
    throw done || isServerTrouble(error) ? explainError(error, where) : error
  } finally {
    await nameLifeWhere(options, begun)
  }
  // A statement that the handler left behind may have failed after the last look: COMMIT rolls back then, and most libraries
  // take that for success.
  if (begun !== undefined && (await wasRolledBack(options, begun))) throw transactionEnded()
  return result
}

/** What the library says is believed where the server cannot be asked, or is not the one it was: the number may be another's. */
async function wasRolledBack({ client, schema }: RunOptions, begun: TransactionMark): Promise<boolean> {
  try {
    const [row] = await client.execute(
      `select pg_xact_status($1::text::xid8) as status, ${timeline}, (select life from ${schema}.server_life) as life`,
      [begun.xid],
    )
    const same = textOf(row?.timeline) === begun.timeline && begun.life !== undefined && lifeOf(row) === begun.life
    return same && row?.status === 'aborted'
  } catch {
    return false
  }
}

/** @throws OnefoldError `TRANSACTION_ENDED` when user SQL has ended the transaction, or left it failed. */
async function assertStillIn(
  execute: Execute,
  { xid }: TransactionMark,
  look = 'select pg_current_xact_id_if_assigned()::text as xid',
  ...parameters: readonly string[]
): Promise<void> {
  let current: string
  try {
    const [row] = await execute(look, parameters)
    current = textOf(row?.xid)
  } catch (error) {
    if (isConnectionLost(error)) throw error
    throw transactionEnded(error)
  }
  if (current !== xid) throw transactionEnded()
}

/**
 * Asks the server, which knows of every recent transaction whether it committed. One that is still at it is waited for. After
 * a crash the number of one that committed is believed no more: it may have been given to another. Of one that did not commit, none has.
 *
 * @throws OnefoldError `COMMIT_UNKNOWN` when it does not say, or is not the server it was.
 */
async function hasCommitted(
  { client, runtime, where, schema }: RunOptions,
  begun: TransactionMark,
  lost: unknown,
): Promise<boolean> {
  const until = runtime.monotonicMs() + askMs
  while (runtime.monotonicMs() < until) {
    try {
      const [row] = await client.execute(
        `select pg_xact_status($1::text::xid8) as status, ${timeline}, (select life from ${schema}.server_life) as life`,
        [begun.xid],
      )
      if (textOf(row?.timeline) !== begun.timeline) break
      if (row?.status === 'committed' && (begun.life === undefined || lifeOf(row) !== begun.life)) break
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

/** Said at COMMIT: not only constraints are deferred, but also triggers, which may raise anything. */
const isRefusal = (error: unknown): boolean => !isOnefoldError(error) && sqlState(error) !== undefined && !isServerTrouble(error)

function commitRefused(error: unknown, where: string): OnefoldError {
  return new OnefoldError(
    'COMMIT_REFUSED',
    `database ${where}: COMMIT was refused by a deferred constraint or trigger (${(error as Error).message}).`,
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

function otherDatabase(library: string, where: string): OnefoldError {
  return new OnefoldError(
    'DATABASE_UNSUITABLE',
    `${library} is connected to another database than ${where}, the pool given to postgres(): a message and its effect cannot commit together. Give both the same.`,
    { details: { database: where, library } },
  )
}
