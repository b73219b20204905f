import { OnefoldError } from '../../errors.ts'
import type { SqliteConnection, SqliteStatement, SqlValue } from './connection.ts'
import { explainError, isStorageTrouble, transactionEnded } from './errors.ts'

/** A prepared statement that stops working when its transaction ends. The shape Drizzle and Kysely expect of a driver. */
export interface SqliteTxStatement {
  readonly reader: boolean
  run(...params: unknown[]): { changes: number; lastInsertRowid: number }
  get(...params: unknown[]): unknown
  all(...params: unknown[]): unknown[]
  iterate(...params: unknown[]): IterableIterator<unknown>
  /** Rows as arrays. */
  raw(): SqliteTxStatement
}

/**
 * The transaction a handler writes in. Everything commits with the message, or nothing does.
 * Revoked when the handler ends: later use throws `TX_CLOSED` and does nothing.
 * Parameters are positional: null, numbers, bigints, strings, bytes; booleans are stored as 0 and 1.
 */
export interface SqliteTx {
  run(sql: string, ...params: unknown[]): { changes: number; lastInsertRowid: number }
  get<R = Record<string, unknown>>(sql: string, ...params: unknown[]): R | undefined
  all<R = Record<string, unknown>>(sql: string, ...params: unknown[]): R[]
  /** For query builders: hand `tx` itself to Drizzle's or Kysely's better-sqlite3 driver. */
  prepare(sql: string): SqliteTxStatement
}

/** Statements that would end or nest the transaction under us. What slips past is caught after the handler. */
const controlsTransaction = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/|;)*(?:begin|commit|end|rollback|savepoint|release)\b/i

export class TransactionHandle implements SqliteTx {
  readonly #connection: SqliteConnection
  readonly #checked: Set<string>
  #iterating: Set<IterableIterator<unknown>> | undefined
  #open = true

  constructor(connection: SqliteConnection, checked: Set<string>) {
    this.#connection = connection
    this.#checked = checked
  }

  run(sql: string, ...params: unknown[]): { changes: number; lastInsertRowid: number } {
    try {
      return this.#statement(sql).run(...plainAll(params))
    } catch (error) {
      throw this.#explained(error)
    }
  }

  get<R>(sql: string, ...params: unknown[]): R | undefined {
    try {
      return this.#statement(sql).get<R>(...plainAll(params))
    } catch (error) {
      throw this.#explained(error)
    }
  }

  all<R>(sql: string, ...params: unknown[]): R[] {
    try {
      return this.#statement(sql).all<R>(...plainAll(params))
    } catch (error) {
      throw this.#explained(error)
    }
  }

  prepare(sql: string): SqliteTxStatement {
    return this.#wrap(sql, false)
  }

  /** Query builders close what they are given; the connection is not theirs to close. */
  close(): void {}

  assertOpen(): void {
    if (!this.#open)
      throw new OnefoldError('TX_CLOSED', 'tx was used after its handler or transaction had ended; nothing was written.')
  }

  isOn(connection: SqliteConnection | undefined): boolean {
    return this.#connection === connection
  }

  revoke(): void {
    this.#open = false
    // One that is still open would keep its statement running: a write would stand in the way of COMMIT.
    if (this.#iterating === undefined) return
    for (const rows of this.#iterating) rows.return?.()
    this.#iterating.clear()
  }

  #wrap(sql: string, asArrays: boolean): SqliteTxStatement {
    const statement = (): SqliteStatement => (asArrays ? this.#statementArrays(sql) : this.#statement(sql))
    const { reader } = statement()
    return {
      reader,
      run: (...params) => this.#storage(() => statement().run(...spread(params))),
      get: (...params) => this.#storage(() => statement().get(...spread(params))),
      all: (...params) => this.#storage(() => statement().all(...spread(params))),
      iterate: (...params) => this.#iterate(sql, statement().iterate(...spread(params))),
      raw: () => this.#wrap(sql, true),
    }
  }

  /** SQLite runs the statement when the first row is asked for: that must not happen in somebody else's transaction. */
  *#iterate(sql: string, rows: IterableIterator<unknown>): IterableIterator<unknown> {
    this.#iterating ??= new Set()
    const iterating = this.#iterating
    iterating.add(rows)
    try {
      for (;;) {
        this.#check(sql)
        const next = this.#storage(() => rows.next())
        if (next.done === true) return
        yield next.value
      }
    } finally {
      if (iterating.delete(rows)) rows.return?.()
    }
  }

  /** A full disk is not the message's fault: it must be told from an error of the user's SQL. */
  #storage<R>(work: () => R): R {
    try {
      return work()
    } catch (error) {
      throw this.#explained(error)
    }
  }

  #explained(error: unknown): unknown {
    return isStorageTrouble(error) ? explainError(error, this.#connection.file) : error
  }

  #statement(sql: string): SqliteStatement {
    this.#check(sql)
    return this.#connection.prepare(sql)
  }

  #statementArrays(sql: string): SqliteStatement {
    this.#check(sql)
    return this.#connection.prepareArrays(sql)
  }

  #check(sql: string): void {
    if (!this.#open) {
      throw new OnefoldError(
        'TX_CLOSED',
        `tx was used after its handler had ended; nothing was written. Await every statement inside the handler. (${short(sql)})`,
      )
    }
    if (!this.#connection.inTransaction) throw transactionEnded()
    if (this.#checked.has(sql)) return
    if (controlsTransaction.test(sql)) {
      throw new OnefoldError(
        'TX_CONTROL',
        `a handler must not begin, end or nest transactions itself: ${short(sql)}. Its writes commit with the message.`,
      )
    }
    if (this.#checked.size > 1_000) this.#checked.clear()
    this.#checked.add(sql)
  }
}

function spread(params: unknown[]): SqlValue[] {
  const list = params.length === 1 && Array.isArray(params[0]) ? (params[0] as unknown[]) : params
  return plainAll(list)
}

/** The list itself where nothing has to be changed: this runs for every statement. */
function plainAll(params: unknown[]): SqlValue[] {
  for (const value of params) if (value === undefined || typeof value === 'boolean') return params.map(plain)
  return params as SqlValue[]
}

function plain(value: unknown): SqlValue {
  if (value === true) return 1
  if (value === false) return 0
  if (value === undefined) return null
  return value as SqlValue
}

const short = (sql: string): string => (sql.length > 80 ? `${sql.slice(0, 77)}...` : sql)
