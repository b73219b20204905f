import type { Database } from '../database.ts'
import { checkedOptions } from './options.ts'
import type { PgClient, PgPool } from './pg-client.ts'
import { PostgresDatabase } from './postgres-database.ts'
import type { PostgresJsShape, PostgresJsTx } from './postgres-js-client.ts'
import type { PostgresOptions } from './postgres-options.ts'
import type { PostgresTx } from './transactions.ts'

/** A client of `pg` that has said BEGIN; a pool has a client for each statement. */
export type JoinedPgClient = PgClient & { readonly totalCount?: never }

/**
 * Your PostgreSQL database (13 or later): messages, proofs and your own tables commit together, from as many machines as you like.
 *
 * Give the pool you have: a Pool of `pg`, or the `sql` of postgres.js. With `transactions: fromDrizzle(db)` and its like, `tx` is
 * your own client's. Opens nothing before the app starts or publishes; never ends your pool.
 *
 * Guarantees: a resolved write is on the server's disk; a COMMIT whose answer was lost is resolved by asking the server.
 * Does not create tables unless `migrations: 'apply'` says so.
 *
 * @throws OnefoldError `OPTION_INVALID` naming the option.
 * @example
 * const app = onefold({ database: postgres(new Pool({ connectionString })) })
 */
export function postgres<Tx, P extends PgPool | PostgresJsShape>(
  pool: P,
  options: PostgresOptions<Tx> & { readonly transactions: NonNullable<PostgresOptions<Tx>['transactions']> },
): Database<Tx, Tx | (P extends PostgresJsShape ? PostgresJsTx<P> : JoinedPgClient)>
export function postgres(
  pool: PgPool,
  options?: Omit<PostgresOptions, 'transactions'>,
): Database<PostgresTx, PostgresTx | JoinedPgClient>
export function postgres<S extends PostgresJsShape>(
  sql: S,
  options?: Omit<PostgresOptions, 'transactions'>,
): Database<PostgresJsTx<S>, PostgresJsTx<S>>
export function postgres(target: unknown, options: PostgresOptions<unknown> = {}): Database<unknown> {
  return new PostgresDatabase(checkedOptions(target, options))
}

export type { DrizzleDatabase } from './adapters/from-drizzle.ts'
export { fromDrizzle } from './adapters/from-drizzle.ts'
export type { KnexDatabase } from './adapters/from-knex.ts'
export { fromKnex } from './adapters/from-knex.ts'
export type { KyselyDatabase } from './adapters/from-kysely.ts'
export { fromKysely } from './adapters/from-kysely.ts'
export type { MikroOrm } from './adapters/from-mikro-orm.ts'
export { fromMikroOrm } from './adapters/from-mikro-orm.ts'
export type { FromPrismaOptions, PrismaDatabase } from './adapters/from-prisma.ts'
export { fromPrisma } from './adapters/from-prisma.ts'
export type { TypeOrmDataSource } from './adapters/from-typeorm.ts'
export { fromTypeOrm } from './adapters/from-typeorm.ts'
export type { PgPool } from './pg-client.ts'
export { fromPostgresJs } from './plain-transactions.ts'
export type { PostgresJsShape, PostgresJsTx } from './postgres-js-client.ts'
export type { PostgresOptions } from './postgres-options.ts'
export type { PostgresResult, PostgresTx, Transactions, UnitOfWork } from './transactions.ts'
