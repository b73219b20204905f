import { optionInvalid } from '../../../errors.ts'
import type { SqlRow } from '../client.ts'
import { transactionEnded } from '../errors.ts'
import type { Transactions } from '../transactions.ts'
import { runThrough } from './run-through.ts'

/** The shape of a Kysely instance (0.27 or later) on PostgreSQL, as far as it is used. */
export interface KyselyDatabase<Tx> {
  transaction(): {
    setIsolationLevel(level: 'read committed'): { execute<R>(work: (tx: Tx) => Promise<R>): Promise<R> }
  }
}

interface KyselyTransaction {
  withoutPlugins(): { executeQuery(query: unknown): Promise<{ readonly rows: readonly SqlRow[] }> }
}

/**
 * `tx` is Kysely's own `Transaction<DB>`.
 *
 * A query of Kysely's runs when `execute` is called. One that is only built does not run, and nothing tells of it.
 *
 * @throws OnefoldError `OPTION_INVALID` for anything but a Kysely instance.
 * @example
 * const app = onefold({ database: postgres(pool, { transactions: fromKysely(db) }) })
 */
export function fromKysely<Tx>(db: KyselyDatabase<Tx>): Transactions<Tx> {
  if (!isKysely(db) || isTransaction(db)) throw optionInvalid('fromKysely(db)', db, 'a Kysely instance')
  return {
    library: 'kysely',
    run: (work) => runThrough('kysely', (callback) => begin(db, callback), work),
    // Plugins are for the user's tables: one that renames columns would rename ours.
    execute: (tx) => {
      const plain = (tx as KyselyTransaction).withoutPlugins()
      return async (sql, parameters = []) => {
        const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
        return (await plain.executeQuery({ sql, parameters, query, queryId: { queryId: 'onefold' } })).rows
      }
    },
    recognises: isTransaction,
  }
}

const begin = <Tx>(db: KyselyDatabase<Tx>, work: (tx: Tx) => Promise<void>): Promise<void> =>
  db
    .transaction()
    .setIsolationLevel('read committed')
    .execute(work)
    .catch((error) => {
      throw isAborted(error) ? transactionEnded(error) : error
    })

/** How Kysely (0.29) says that the server answered COMMIT with ROLLBACK. */
const isAborted = (error: unknown): boolean => error instanceof Error && error.name === 'AbortedTransactionError'

function isKysely(value: unknown): boolean {
  const { transaction, withoutPlugins, executeQuery } = (value ?? {}) as Record<string, unknown>
  return [transaction, withoutPlugins, executeQuery].every((method) => typeof method === 'function')
}

function isTransaction(value: unknown): boolean {
  return isKysely(value) && (value as { isTransaction?: unknown }).isTransaction === true
}
