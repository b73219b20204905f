import { DatabaseSync } from 'node:sqlite'
import { OnefoldError, optionInvalid } from '../../errors.ts'

export type SqlValue = null | number | bigint | string | Uint8Array

export interface SqliteStatement {
  run(...params: SqlValue[]): { changes: number; lastInsertRowid: number }
  get<R>(...params: SqlValue[]): R | undefined
  all<R>(...params: SqlValue[]): R[]
  iterate<R>(...params: SqlValue[]): IterableIterator<R>
  /** True when it returns rows. */
  readonly reader: boolean
}

/** The inner seam: one open connection, whichever SQLite library it comes from. */
export interface SqliteConnection {
  readonly file: string
  readonly library: 'node:sqlite' | 'better-sqlite3'
  /** A statement compiled once per SQL text and kept. */
  prepare(sql: string): SqliteStatement
  /** The same, answering rows as arrays (joins may repeat a column's name). */
  prepareArrays(sql: string): SqliteStatement
  exec(sql: string): void
  readonly inTransaction: boolean
  /** Another connection of the same library to the same file. */
  sibling(options: { readOnly: boolean }): SqliteConnection
  /** Is this the library handle a caller holds? */
  owns(handle: unknown): boolean
  close(): void
}

/** What `better-sqlite3` gives, taken by shape: the library is never a dependency. */
export interface BetterSqlite3 {
  readonly name: string
  readonly open: boolean
  readonly inTransaction: boolean
  prepare(sql: string): {
    run(...params: unknown[]): { changes: number; lastInsertRowid: number | bigint }
    get(...params: unknown[]): unknown
    all(...params: unknown[]): unknown[]
    iterate(...params: unknown[]): IterableIterator<unknown>
    raw(on: boolean): unknown
    readonly reader: boolean
  }
  exec(sql: string): unknown
  pragma(source: string): unknown
  close(): unknown
}

/** Statements kept per connection; the oldest goes first. Onefold's own number about a hundred. */
const maxStatements = 500

class StatementCache {
  readonly #statements = new Map<string, SqliteStatement>()
  readonly #compile: (sql: string) => SqliteStatement

  constructor(compile: (sql: string) => SqliteStatement) {
    this.#compile = compile
  }

  get(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#compile(sql)
      if (this.#statements.size >= maxStatements) {
        const oldest = this.#statements.keys().next().value
        if (oldest !== undefined) this.#statements.delete(oldest)
      }
      this.#statements.set(sql, statement)
    }
    return statement
  }

  clear(): void {
    this.#statements.clear()
  }
}

export function openNodeSqlite(file: string, options: { readOnly: boolean }): SqliteConnection {
  // timeout 0: a lock held by another process is waited for asynchronously, never on the event loop.
  return nodeConnection(new DatabaseSync(file, { readOnly: options.readOnly, timeout: 0 }), file)
}

export function nodeConnection(database: DatabaseSync, file: string): SqliteConnection {
  const compile = (sql: string, returnArrays: boolean): SqliteStatement => {
    const statement = database.prepare(sql)
    if (returnArrays) statement.setReturnArrays(true)
    return Object.assign(statement, { reader: statement.columns().length > 0 }) as unknown as SqliteStatement
  }
  const cache = new StatementCache((sql) => compile(sql, false))
  const arrays = new StatementCache((sql) => compile(sql, true))
  return {
    file,
    library: 'node:sqlite',
    prepare: (sql) => cache.get(sql),
    prepareArrays: (sql) => arrays.get(sql),
    exec: (sql) => database.exec(sql),
    get inTransaction() {
      return database.isTransaction
    },
    sibling: (options) => openNodeSqlite(file, options),
    owns: (handle) => handle === database,
    close() {
      cache.clear()
      arrays.clear()
      database.close()
    },
  }
}

export function betterSqlite3Connection(database: BetterSqlite3): SqliteConnection {
  const cache = new StatementCache((sql) => numbered(sql, database.prepare(sql) as unknown as SqliteStatement))
  const arrays = new StatementCache((sql) => numbered(sql, database.prepare(sql).raw(true) as SqliteStatement))
  return {
    file: database.name,
    library: 'better-sqlite3',
    prepare: (sql) => cache.get(sql),
    prepareArrays: (sql) => arrays.get(sql),
    exec: (sql) => void database.exec(sql),
    get inTransaction() {
      return database.inTransaction
    },
    sibling(options) {
      // The same library: a second SQLite in one process would drop the first one's POSIX locks when it closes the file.
      const Constructor = database.constructor as new (file: string, options: object) => BetterSqlite3
      return betterSqlite3Connection(new Constructor(database.name, { readonly: options.readOnly, timeout: 0 }))
    },
    owns: (handle) => handle === database,
    close() {
      cache.clear()
      arrays.clear()
      database.close()
    },
  }
}

/** better-sqlite3 takes `?1` for a name, `1`, where node:sqlite takes it for a place. */
function numbered(sql: string, statement: SqliteStatement): SqliteStatement {
  if (!/\?\d/.test(sql.replaceAll(/'[^']*'/g, ''))) return statement
  const named = (values: SqlValue[]): SqlValue => Object.fromEntries(values.map((value, index) => [index + 1, value])) as never
  return {
    reader: statement.reader,
    run: (...values) => statement.run(named(values)),
    get: <R>(...values: SqlValue[]) => statement.get<R>(named(values)),
    all: <R>(...values: SqlValue[]) => statement.all<R>(named(values)),
    iterate: <R>(...values: SqlValue[]) => statement.iterate<R>(named(values)),
  }
}

export function isNodeSqlite(handle: unknown): handle is DatabaseSync {
  return handle instanceof DatabaseSync
}

export function isBetterSqlite3(handle: unknown): handle is BetterSqlite3 {
  const shape = handle as Partial<BetterSqlite3> | null
  return (
    typeof shape === 'object' &&
    shape !== null &&
    typeof shape.name === 'string' &&
    typeof shape.prepare === 'function' &&
    typeof shape.pragma === 'function' &&
    typeof shape.inTransaction === 'boolean'
  )
}

/** A user's handle to the same file beside our own connection: only of the same library. */
export function connectionBeside(ours: SqliteConnection, handle: DatabaseSync | BetterSqlite3): SqliteConnection {
  const connection = isNodeSqlite(handle)
    ? nodeConnection(handle, handle.location() ?? ':memory:')
    : betterSqlite3Connection(handle)
  if (connection.library === ours.library) return connection
  // https://sqlite.org/howtocorrupt.html, 2.2: whichever closes the file first drops the locks of both.
  throw new OnefoldError(
    'TX_FOREIGN',
    `tx is a handle of ${connection.library}, but ${ours.file} is open with ${ours.library} in this process: two SQLite libraries must not share a file. Give your handle to sqlite(handle).`,
    { details: { file: ours.file } },
  )
}

/** Wraps the handle a user brought; refuses what is not one. */
export function connectionOf(handle: unknown): SqliteConnection {
  if (isNodeSqlite(handle)) {
    const file = handle.location()
    if (file === null || file === '')
      throw optionInvalid('sqlite(database)', handle, 'a database in a file (":memory:" cannot survive a crash)')
    return nodeConnection(handle, file)
  }
  if (isBetterSqlite3(handle)) {
    if (handle.name === '' || handle.name === ':memory:') {
      throw optionInvalid('sqlite(database)', handle, 'a database in a file (":memory:" cannot survive a crash)')
    }
    handle.pragma('busy_timeout = 0')
    return betterSqlite3Connection(handle)
  }
  throw optionInvalid('sqlite(database)', handle, 'a file name, a node:sqlite DatabaseSync or a better-sqlite3 Database')
}
