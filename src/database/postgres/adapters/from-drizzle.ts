import { optionInvalid } from '../../../errors.ts'
import type { SqlParameter, SqlRow } from '../client.ts'
import type { Transactions } from '../transactions.ts'
import { runThrough } from './run-through.ts'

/** The shape of a Drizzle database on PostgreSQL (0.36 or later), whichever driver it is over, as far as it is used. */
export interface DrizzleDatabase<Tx> {
  transaction<R>(work: (tx: Tx) => Promise<R>, config?: { isolationLevel?: 'read committed' }): Promise<R>
}

/** What `tx.execute` takes beside text: the shape of Drizzle's SQLWrapper. */
interface Statement {
  getSQL(): Statement
  toQuery(): { readonly sql: string; readonly params: unknown[] }
}

interface DrizzleTransaction {
  execute(statement: Statement): PromiseLike<readonly SqlRow[] | { readonly rows: readonly SqlRow[] }>
}

/**
 * `tx` is Drizzle's own transaction: what `db.transaction` hands out.
 *
 * A query of Drizzle's runs when it is awaited. One that is not awaited does not run, and nothing tells of it.
 *
 * @throws OnefoldError `OPTION_INVALID` for anything but a Drizzle database.
 * @example
 * const app = onefold({ database: postgres(pool, { transactions: fromDrizzle(drizzle({ client: pool })) }) })
 */
export function fromDrizzle<Tx>(db: DrizzleDatabase<Tx>): Transactions<Tx> {
  if (!isDrizzle(db) || isTransaction(db)) throw optionInvalid('fromDrizzle(db)', db, 'the database that drizzle() returns')
  return {
    library: 'drizzle',
    run: (work) => runThrough('drizzle', (callback) => db.transaction(callback, { isolationLevel: 'read committed' }), work),
    execute: (tx) => (text, parameters) =>
      // Not awaited: that would be a moment in which statements of the user's go first.
      Promise.resolve((tx as DrizzleTransaction).execute(statement(text, parameters)).then(rowsOf)),
    recognises: isTransaction,
  }
}

function statement(text: string, parameters: readonly SqlParameter[] = []): Statement {
  const made: Statement = { getSQL: () => made, toQuery: () => ({ sql: text, params: [...parameters] }) }
  return made
}

/** postgres.js answers the rows, the other drivers an object that has them. */
function rowsOf(answer: readonly SqlRow[] | { readonly rows: readonly SqlRow[] }): readonly SqlRow[] {
  return 'rows' in answer ? answer.rows : answer
}

function isDrizzle(value: unknown): boolean {
  const { transaction, execute, _ } = (value ?? {}) as Record<string, unknown>
  return typeof value === 'object' && typeof transaction === 'function' && typeof execute === 'function' && _ !== undefined
}

/** The database beside it has no `rollback`. */
function isTransaction(value: unknown): boolean {
  return isDrizzle(value) && typeof (value as { rollback?: unknown }).rollback === 'function'
}
