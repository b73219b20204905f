import type { DatabaseSync } from 'node:sqlite'
import type { Database } from '../database.ts'
import type { BetterSqlite3 } from './connection.ts'
import { SqliteDatabase } from './sqlite-database.ts'
import type { SqliteOptions } from './sqlite-options.ts'
import type { SqliteTx } from './transaction-handle.ts'

/**
 * One SQLite file: messages, proofs and your own tables in it, and nothing to run beside.
 *
 * Give a file name, or the handle you have open (node:sqlite or better-sqlite3): it then becomes the connection
 * everything is written through. Opens nothing before the app starts or publishes.
 *
 * Guarantees: a resolved write is on disk (`synchronous=FULL`). Not on network file systems, which are refused.
 *
 * @example
 * const app = onefold({ database: sqlite('app.db') })
 */
export function sqlite(target: string | DatabaseSync | BetterSqlite3, options?: SqliteOptions): Database<SqliteTx> {
  return new SqliteDatabase(target, options)
}

export type { BetterSqlite3 } from './connection.ts'
export type { SqliteOptions } from './sqlite-options.ts'
export type { SqliteTx, SqliteTxStatement } from './transaction-handle.ts'
