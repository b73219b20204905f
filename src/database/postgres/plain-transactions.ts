import { optionInvalid } from '../../errors.ts'
import { runThrough } from './adapters/run-through.ts'
import type { PostgresConnection } from './client.ts'
import type { PgClient } from './pg-client.ts'
import { isPgPool } from './pg-client.ts'
import type { PostgresJs, PostgresJsShape, PostgresJsTransaction, PostgresJsTx } from './postgres-js-client.ts'
import { executeOn, isPostgresJs } from './postgres-js-client.ts'
import type { OpenTransaction } from './transaction.ts'
import type { Joinable, Transactions } from './transactions.ts'
import { TransactionHandle } from './transactions.ts'

interface Plain {
  readonly library: 'pg' | 'postgres.js'
  /** Of the library itself, to join a transaction that its user has open. */
  readonly joinable: Joinable
  /** Where handlers get the library's own transaction. */
  readonly transactions: Transactions<unknown> | undefined
  readonly handle: (open: OpenTransaction) => { readonly tx: unknown; close(): void }
}

/** What the pool makes possible without an adapter. @throws OnefoldError `OPTION_INVALID` */
export function plainOf(target: unknown): Plain {
  if (isPgPool(target)) return { library: 'pg', joinable: pgClients, transactions: undefined, handle: pgHandle }
  if (isPostgresJs(target)) {
    const transactions = fromPostgresJs(target as unknown as PostgresJsShape) as Transactions<unknown>
    return { library: 'postgres.js', joinable: transactions, transactions, handle: ({ tx }) => ({ tx, close: nothing }) }
  }
  throw optionInvalid('postgres(pool)', target, 'a Pool of pg 8, or the sql of postgres.js 3')
}

const nothing = (): void => undefined

/** A client of `pg`, whose user has said BEGIN. */
const pgClients: Joinable = {
  library: 'pg',
  execute: (tx) => async (text, parameters) => (await (tx as PgClient).query(text, parameters as unknown[])).rows,
  recognises: (tx) =>
    typeof tx === 'object' &&
    tx !== null &&
    !isPgPool(tx) &&
    typeof (tx as Partial<PgClient>).query === 'function' &&
    'processID' in tx,
}

function pgHandle({ execute, connection }: OpenTransaction): { readonly tx: unknown; close(): void } {
  const tx = new TransactionHandle(execute, (text, values) => (connection as PostgresConnection).query(text, values))
  return { tx, close: () => tx.revoke() }
}

/** Handlers get postgres.js's own transaction (`sql.begin`). */
export function fromPostgresJs<S extends PostgresJsShape>(handle: S): Transactions<PostgresJsTx<S>> {
  const sql = handle as unknown as PostgresJs
  type Tx = PostgresJsTx<S>
  return {
    library: 'postgres.js',
    // Rejects although `work` has resolved when any statement failed in it, even if the error was caught.
    run: (work) =>
      runThrough(
        'postgres.js',
        (callback: (tx: Tx) => Promise<void>) => sql.begin('isolation level read committed', callback),
        work,
      ),
    execute: (tx) => executeOn(tx as PostgresJsTransaction),
    // A transaction has savepoints; the handle beside it has not.
    recognises: (tx) => typeof tx === 'function' && typeof (tx as { savepoint?: unknown }).savepoint === 'function',
  }
}
