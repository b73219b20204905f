import { optionInvalid } from '../../../errors.ts'
import type { SqlParameter, SqlRow } from '../client.ts'
import type { Transactions } from '../transactions.ts'
import { runThrough } from './run-through.ts'

/** The shape of a TypeORM DataSource (0.3 or later) on PostgreSQL, as far as it is used. */
export interface TypeOrmDataSource<Tx> {
  readonly manager: Tx
  transaction<R>(isolation: 'READ COMMITTED', work: (tx: Tx) => Promise<R>): Promise<R>
}

interface QueryRunner {
  query(text: string, parameters: readonly SqlParameter[], structured: true): Promise<{ readonly records?: readonly SqlRow[] }>
}

interface EntityManager {
  readonly queryRunner?: QueryRunner
}

/**
 * `tx` is TypeORM's `EntityManager`, bound to the transaction.
 *
 * Repositories that were taken from the DataSource write outside of it: use `tx.getRepository(…)` or `tx.withRepository(…)`.
 * `dataSource.manager` has the same type as a transaction's; passing it as `{ tx }` is refused at run time (`TX_FOREIGN`).
 *
 * @throws OnefoldError `OPTION_INVALID` for anything but a DataSource.
 * @example
 * const app = onefold({ database: postgres(pool, { transactions: fromTypeOrm(dataSource) }) })
 */
export function fromTypeOrm<Tx>(dataSource: TypeOrmDataSource<Tx>): Transactions<Tx> {
  if (!isDataSource(dataSource)) throw optionInvalid('fromTypeOrm(dataSource)', dataSource, 'a DataSource')
  return {
    library: 'typeorm',
    run: (work) => runThrough('typeorm', (callback) => dataSource.transaction('READ COMMITTED', callback), work),
    // Not `tx.query`: after an UPDATE it answers something else than rows.
    execute: (tx) => {
      const { queryRunner } = tx as { readonly queryRunner: QueryRunner }
      return async (text, parameters = []) => (await queryRunner.query(text, parameters, true)).records ?? []
    },
    recognises: isTransaction,
  }
}

function isDataSource(value: unknown): boolean {
  const { transaction, createQueryRunner, manager } = (value ?? {}) as Record<string, unknown>
  return typeof transaction === 'function' && typeof createQueryRunner === 'function' && manager !== undefined
}

/** The manager beside it has no connection of its own. */
function isTransaction(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { queryRunner } = value as EntityManager
  return 'transaction' in value && typeof queryRunner?.query === 'function'
}
