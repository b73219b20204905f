import type { SqliteConnection, SqliteStatement, SqlValue } from '../../database/sqlite/connection.ts'

interface Answer {
  /** As the tables stood that it was read from. */
  readonly at: number
  readonly rows: unknown
}

/** A statement of Onefold's own. */
interface OwnStatement {
  readonly statement: SqliteStatement
  /** What it writes to is known when it has run; else it must be told of before. */
  readonly tells: boolean
}

/** A table of Onefold's, and when something last wrote to it. */
interface Table {
  readonly name: string
  writtenAt: number
}

/** Writes to no table either. */
const begun: readonly Table[] = []

/** Kept of one query: some ask for times. */
const maxAnswers = 100
/** Kept: a program may write its values into its SQL. */
const maxTexts = 2_000

const reads = /^\s*select\b/i
const begins = /^\s*begin\b/i
/** Ends or begins transactions, and writes to no table. */
const controls = /^\s*(?:begin|commit|rollback|savepoint|release|pragma)\b/i
const writes = /^\s*(?:insert|update|delete|replace)\b/i

/**
 * Answers a query again as it was answered before, for as long as nothing has written to a table it names. Idle processes look at
 * the same rows thousands of times; so do two processes after one commit, and every transaction that begins after others'. What is
 * committed is the same for all of them.
 *
 * Only for Onefold's own queries of its own tables, and only of what is committed: what a transaction has written to so far is asked
 * for, and not remembered.
 */
export class CommittedReads {
  readonly #tables: ReadonlyMap<string, Table>
  readonly #named: RegExp
  /** Of each text: the tables it may write to; undefined: all of them. */
  readonly #writes = new Map<string, readonly Table[] | undefined>()
  readonly #statements = new Map<string, OwnStatement>()
  readonly #connection: SqliteConnection
  #now = 1
  /** When the last transaction began, or before. */
  #begunAt = 0
  /** When the tables were put back last. */
  #resetAt = 0
  /** Something writes to Onefold's tables that nobody can tell from a statement's text. */
  #unsure: boolean

  constructor(connection: SqliteConnection, prefix: string) {
    this.#connection = connection
    const tables = connection.prepare("select name from sqlite_schema where type = 'table'").all<{ name: string }>()
    this.#tables = new Map(tables.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => [name, { name, writtenAt: 1 }]))
    this.#named = new RegExp(`\\b${prefix}\\w+`, 'gi')
    const triggers = connection.prepare("select sql from sqlite_schema where type = 'trigger'").all<{ sql: string }>()
    this.#unsure = triggers.some(({ sql }) => sql.toLowerCase().includes(prefix))
  }

  /** A statement is about to run, in a transaction. Nobody reads what is committed before that has ended. */
  runs(sql: string): void {
    let written = this.#writes.get(sql)
    if (written === undefined && !this.#writes.has(sql)) {
      written = this.#writtenBy(sql)
      if (this.#writes.size >= maxTexts) this.#writes.clear()
      this.#writes.set(sql, written)
    }
    if (written === begun) this.#begunAt = this.#now
    if (written?.length !== 0) this.#wrote(written)
  }

  #wrote(tables: readonly Table[] | undefined): void {
    this.#now++
    for (const table of tables ?? this.#tables.values()) table.writtenAt = this.#now
  }

  #writtenBy(sql: string): readonly Table[] | undefined {
    if (begins.test(sql)) return begun
    if (reads.test(sql) || controls.test(sql)) return []
    // A trigger may have been made.
    if (!writes.test(sql)) this.#unsure = true
    return this.#unsure ? undefined : this.#tablesOf(sql)
  }

  /** Names of the tables that may be other than they were in the beginning. */
  get written(): ReadonlySet<string> {
    return new Set([...this.#tables.values()].filter(({ writtenAt }) => writtenAt > this.#resetAt).map(({ name }) => name))
  }

  /** They have been put back: everything is as it was in the beginning. */
  reset(): void {
    this.#now++
    for (const table of this.#tables.values()) if (table.writtenAt > this.#resetAt) table.writtenAt = this.#now
    this.#resetAt = this.#now
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

  /** For whoever only reads. */
  prepare(sql: string): SqliteStatement {
    return this.#own(sql).statement
  }

  /** For whoever also writes: as `runs`, but what changes nothing does not count as written. */
  prepareToRun(sql: string): SqliteStatement {
    const { statement, tells } = this.#own(sql)
    if (!tells) this.runs(sql)
    return statement
  }

  #own(sql: string): OwnStatement {
    let own = this.#statements.get(sql)
    if (own === undefined) {
      const asked = this.#connection.prepare(sql)
      const tables = this.#tablesOf(sql)
      if (tables === undefined || tables.length === 0) own = { statement: asked, tells: false }
      else if (reads.test(sql)) own = { statement: this.#remembering(asked, tables), tells: true }
      else if (writes.test(sql)) own = { statement: this.#telling(asked, tables), tells: true }
      else own = { statement: asked, tells: false }
      this.#statements.set(sql, own)
    }
    return own
  }

  #telling(asked: SqliteStatement, tables: readonly Table[]): SqliteStatement {
    const wrote = (): void => this.#wrote(this.#unsure ? undefined : tables)
    return {
      run(...params) {
        let changes = 1
        try {
          const result = asked.run(...params)
          changes = result.changes
          return result
        } finally {
          if (changes > 0) wrote()
        }
      },
      get<R>(...params: SqlValue[]): R | undefined {
        wrote()
        return asked.get<R>(...params)
      },
      all<R>(...params: SqlValue[]): R[] {
        wrote()
        return asked.all<R>(...params)
      },
      iterate<R>(...params: SqlValue[]): IterableIterator<R> {
        wrote()
        return asked.iterate<R>(...params)
      },
      reader: asked.reader,
    }
  }

  #remembering(asked: SqliteStatement, tables: readonly Table[]): SqliteStatement {
    const remember = <R>(ask: (...params: SqlValue[]) => R): ((...params: SqlValue[]) => R) => {
      const answers = new Map<string, Answer>()
      return (...params) => {
        const name = nameOf(params)
        const known = answers.get(name)
        if (known !== undefined && tables.every(({ writtenAt }) => writtenAt <= known.at)) return known.rows as R
        const rows = ask(...params)
        // What was written since the transaction began may yet be undone.
        if (tables.some(({ writtenAt }) => writtenAt > this.#begunAt) && this.#connection.inTransaction) return rows
        if (answers.size >= maxAnswers) answers.clear()
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
