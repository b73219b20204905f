import type { SqliteConnection, SqliteStatement, SqlValue } from '../../database/sqlite/connection.ts'

interface Answer {
  /** As the tables stood that it was read from. */
  readonly at: number
  readonly rows: unknown
}

/** A table of Onefold's, and when a commit last wrote to it. */
interface Table {
  readonly name: string
  writtenAt: number
}

const reads = /^\s*select\b/i
/** Ends or begins transactions, and writes to no table. */
const controls = /^\s*(?:begin|commit|rollback|savepoint|release|pragma)\b/i
const writes = /^\s*(?:insert|update|delete|replace)\b/i

/**
 * Answers a query again as it was answered before, for as long as no commit has written to a table it names. Idle processes look at
 * the same rows thousands of times; so do two processes after one commit. What is committed is the same for all of them.
 *
 * Only for Onefold's own queries of its own tables, and only of what is committed.
 */
export class CommittedReads {
  readonly #tables: ReadonlyMap<string, Table>
  readonly #named: RegExp
  /** Of each text: the tables it names; undefined: it may touch all of them. */
  readonly #touched = new Map<string, readonly Table[] | undefined>()
  readonly #statements = new Map<string, SqliteStatement>()
  readonly #connection: SqliteConnection
  #now = 0
  readonly #written = new Set<Table>()
  #allWritten = true
  /** What else a statement writes to cannot be told from its text: every commit may have written to every table. */
  #unsure: boolean
  #askedAt = 0

  constructor(connection: SqliteConnection, prefix: string) {
    this.#connection = connection
    const tables = connection.prepare("select name from sqlite_schema where type = 'table'").all<{ name: string }>()
    this.#tables = new Map(tables.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => [name, { name, writtenAt: 0 }]))
    this.#named = new RegExp(`\\b${prefix}\\w+`, 'gi')
    const triggers = connection.prepare("select sql from sqlite_schema where type = 'trigger'").all<{ sql: string }>()
    this.#unsure = triggers.some(({ sql }) => sql.toLowerCase().includes(prefix))
  }

  /** A statement that the open transaction runs, or may run. */
  runs(sql: string): void {
    if (this.#allWritten) return
    let touched = this.#touched.get(sql)
    if (touched === undefined && !this.#touched.has(sql)) {
      touched = reads.test(sql) || controls.test(sql) ? [] : writes.test(sql) ? this.#tablesOf(sql) : undefined
      this.#touched.set(sql, touched)
    }
    if (touched === undefined) {
      this.#allWritten = true
      this.#unsure ||= !writes.test(sql)
    } else for (const table of touched) this.#written.add(table)
  }

  /** What the transaction wrote is there from now on. */
  committed(): void {
    this.#now++
    for (const table of this.#allWritten ? this.#tables.values() : this.#written) table.writtenAt = this.#now
    this.#written.clear()
    this.#allWritten = this.#unsure
  }

  /** Names of the tables that may have been written to since this was asked last. They are about to be put back. */
  writtenSince(): ReadonlySet<string> {
    const names = new Set<string>()
    for (const table of this.#tables.values()) if (table.writtenAt > this.#askedAt || this.#allWritten) names.add(table.name)
    for (const { name } of this.#written) names.add(name)
    return names
  }

  /** Everything is as it was in the beginning. */
  reset(): void {
    this.#allWritten = true
    this.committed()
    this.#askedAt = this.#now
  }

  #tablesOf(sql: string): Table[] | undefined {
    const found: Table[] = []
    for (const [name] of sql.matchAll(this.#named)) {
      const table = this.#tables.get(name.toLowerCase())
      // A view, or an index: whatever stands behind it.
      if (table === undefined) return undefined
      if (!found.includes(table)) found.push(table)
    }
    return found
  }

  prepare(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#remembering(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #remembering(sql: string): SqliteStatement {
    const asked = this.#connection.prepare(sql)
    const tables = this.#tablesOf(sql)
    if (!reads.test(sql) || tables === undefined || tables.length === 0) return asked
    const remember = <R>(ask: (...params: SqlValue[]) => R): ((...params: SqlValue[]) => R) => {
      const answers = new Map<string, Answer>()
      return (...params) => {
        // Within a transaction there is more than what is committed.
        if (this.#connection.inTransaction) return ask(...params)
        const name = nameOf(params)
        const known = answers.get(name)
        if (known !== undefined && tables.every(({ writtenAt }) => writtenAt <= known.at)) return known.rows as R
        const rows = ask(...params)
        answers.set(name, { at: this.#now, rows })
        return rows
      }
    }
    return {
      run: (...params) => asked.run(...params),
      get: remember((...params) => asked.get(...params)) as SqliteStatement['get'],
      all: remember((...params) => asked.all(...params)) as SqliteStatement['all'],
      iterate: <R>(...params: SqlValue[]) => asked.iterate<R>(...params),
      reader: asked.reader,
    }
  }
}

function nameOf(params: readonly SqlValue[]): string {
  let name = ''
  for (const value of params) {
    if (typeof value === 'object') {
      if (value === null) name += 'null\n'
      else name += `x${Buffer.from(value).toString('hex')}\n`
    } else name += typeof value === 'string' ? `'${value}\n` : `${typeof value}${value}\n`
  }
  return name
}
