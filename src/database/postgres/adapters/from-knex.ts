import { optionInvalid } from '../../../errors.ts'
import type { SqlRow } from '../client.ts'
import { transactionEnded } from '../errors.ts'
import type { Transactions } from '../transactions.ts'
import { runThrough } from './run-through.ts'

/** The shape of a Knex instance (1.0 or later) on PostgreSQL, as far as it is used. */
export interface KnexDatabase<Tx> {
  transaction<R>(work: (tx: Tx) => Promise<R>, config?: { isolationLevel?: 'read committed' }): Promise<R>
}

interface KnexTransaction {
  isCompleted(): boolean
  readonly client: {
    acquireConnection(): Promise<unknown>
    query(
      connection: unknown,
      statement: { readonly sql: string; readonly bindings: unknown[] },
    ): Promise<{ readonly response: { readonly rows: readonly SqlRow[] } }>
  }
}

/**
 * `tx` is Knex's own transaction (`Knex.Transaction`).
 *
 * A query of Knex's runs when it is awaited. One that is not awaited does not run, and nothing tells of it.
 *
 * @throws OnefoldError `OPTION_INVALID` for anything but a Knex instance.
 * @example
 * const app = onefold({ database: postgres(pool, { transactions: fromKnex(knex) }) })
 */
export function fromKnex<Tx>(knex: KnexDatabase<Tx>): Transactions<Tx> {
  if (!isKnex(knex) || isTransaction(knex)) throw optionInvalid('fromKnex(knex)', knex, 'the instance that knex() returns')
  return {
    library: 'knex',
    run: (work) => runThrough('knex', (callback) => knex.transaction(callback, { isolationLevel: 'read committed' }), work),
    // Below `raw`, which puts `?` where PostgreSQL has `$1`, and hands rows to a `postProcessResponse` of the user's.
    execute: (tx) => {
      const { client, isCompleted } = tx as KnexTransaction
      return async (text, parameters = []) => {
        if (isCompleted()) throw transactionEnded()
        const connection = await client.acquireConnection()
        const { response } = await client.query(connection, { sql: quoted(text), bindings: [...parameters] })
        return response.rows
      }
    },
    recognises: isTransaction,
  }
}

/** A question mark is a placeholder to Knex, wherever it stands. */
const quoted = (text: string): string => (text.includes('?') ? text.replaceAll('?', '\\?') : text)

function isKnex(value: unknown): boolean {
  const { transaction, raw, client } = (value ?? {}) as Record<string, unknown>
  return typeof value === 'function' && typeof transaction === 'function' && typeof raw === 'function' && client !== undefined
}

function isTransaction(value: unknown): boolean {
  return isKnex(value) && typeof (value as { isCompleted?: unknown }).isCompleted === 'function'
}
