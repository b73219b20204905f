import { DatabaseSync } from 'node:sqlite'
import type { SqliteConnection, SqliteStatement } from '../../database/sqlite/connection.ts'
import { nodeConnection } from '../../database/sqlite/connection.ts'
import { migrate } from '../../database/sqlite/open-file.ts'
import type { SqliteTx } from '../../database/sqlite/transaction-handle.ts'
import type { Runtime } from '../../runtime.ts'
import { CommittedReads } from './committed-reads.ts'
import { keepTables } from './kept-tables.ts'
import type { Invariant } from './subject.ts'
import type { Incarnation } from './world.ts'
import type { Published } from './world-database.ts'
import { openTwiceText, questions, saidBy, told, WorldDatabase } from './world-database.ts'

/** A table of the user's, with what of it can be compared between runs. */
interface UserTable {
  readonly name: string
  readonly columns: readonly string[]
}

export const prefix = 'onefold_'
/** What a producer writes in the transactions in which it publishes. */
const facts = `${prefix}simulated_fact`

const messages = `select topic, id, key, data from ${prefix}message order by topic, partition, "offset"`
const leftNow = `
  select s.topic || '/' || s.grp as what, sum(p.head - coalesce(c."offset", 0)) as messages
    from ${prefix}subscription s join ${prefix}topic t on t.name = s.topic join ${prefix}partition p on p.topic = t.topic
    left join ${prefix}checkpoint c on c.subscription = s.subscription and c.partition = cast(p.number as text)
    where p.head > coalesce(c."offset", 0) group by 1
  union all select s.topic || '/' || s.grp || ', parked', count(*)
    from ${prefix}parked join ${prefix}subscription s using (subscription) where state in ('waiting', 'calling') group by 1
  union all select 'the outbox', count(*) from ${prefix}outbox having count(*) > 0`
const left = `${leftNow}
  union all select 'to be delivered later', count(*) from ${prefix}schedule having count(*) > 0`

const prefixed = new Map<string, string>()

function withPrefix(sql: string): string {
  let text = prefixed.get(sql)
  if (text === undefined) {
    text = sql.replaceAll('{p}', prefix)
    prefixed.set(sql, text)
  }
  return text
}

/**
 * One real SQLite database in memory, which all simulated processes share. Transactions are real; only one is open at a time,
 * and who has it open is known. Between schedules it is emptied, not made again.
 */
export class SqliteWorld extends WorldDatabase {
  readonly engine = 'SQLite'
  readonly resetMs = undefined
  readonly together = false
  readonly database: DatabaseSync
  readonly connection: SqliteConnection
  commits = 0
  readonly #setup: ((database: DatabaseSync) => void) | undefined
  #reset: (() => void) | undefined
  #reads: CommittedReads | undefined
  #userTables: readonly UserTable[] = []

  constructor(runtime: Runtime, setup: ((database: DatabaseSync) => void) | undefined) {
    super()
    this.database = new DatabaseSync(':memory:')
    this.connection = nodeConnection(this.database, ':memory:')
    this.#setup = setup
    migrate(this.connection, ':memory:', { prefix, runtime })
    this.connection.exec(`create table ${facts} (fact text primary key) strict`)
  }

  reset(): void {
    if (this.connection.inTransaction) this.connection.exec('rollback')
    this.commits = 0
    if (this.#reset === undefined) this.#begin()
    else this.#reset()
    this.committedReads.reset()
  }

  get committedReads(): CommittedReads {
    this.#reads ??= new CommittedReads(this.connection, prefix)
    return this.#reads
  }

  /** The user's setup runs once; what it left is kept, and put back before every schedule. */
  #begin(): void {
    this.#setup?.(this.database)
    const { connection } = this
    const tables = connection
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite^_%' escape '^'")
      .all<{ name: string }>()
      .map(({ name }) => name)
    const putBack = keepTables(connection, tables)
    this.#userTables = tables
      .filter((name) => !name.startsWith(prefix))
      .map((name) => ({ name, columns: this.#comparable(name) }))
    this.#reset = () => {
      const { written } = this.committedReads
      putBack((name) => !name.startsWith(prefix) || written.has(name))
    }
  }

  /** Without the column SQLite counts by itself: that tells the order of things, not what they are. */
  #comparable(table: string): string[] {
    const columns = this.connection
      .prepare('select name, type, pk from pragma_table_info(?)')
      .all<{ name: string; type: string; pk: number }>(table)
    const keys = columns.filter(({ pk }) => pk > 0)
    const counted = keys.length === 1 && keys[0]?.type.toUpperCase() === 'INTEGER' ? keys[0].name : undefined
    return columns.map(({ name }) => name).filter((name) => name !== counted)
  }

  userRows(ignored: ReadonlySet<string>): Map<string, readonly string[]> {
    const state = new Map<string, readonly string[]>()
    for (const { name, columns } of this.#userTables) {
      const shown = columns.filter((column) => !ignored.has(`${name}.${column}`))
      if (shown.length === 0) continue
      const list = shown.map((column) => `"${column.replaceAll('"', '""')}"`).join(', ')
      const rows = this.connection.prepare(`select ${list} from "${name.replaceAll('"', '""')}"`).all<Record<string, unknown>>()
      state.set(
        name,
        rows
          .map((row) =>
            JSON.stringify(row, (_, value: unknown) =>
              value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
            ),
          )
          .sort(),
      )
    }
    return state
  }

  whatIsLeft(): string {
    return this.#listed(left)
  }

  whatIsLeftNow(): string {
    return this.#listed(leftNow)
  }

  #listed(sql: string): string {
    return told(this.rows<{ what: string; messages: number }>(sql))
  }

  get needsPerson(): boolean {
    return this.rows(questions.forPerson).length > 0
  }

  openTwice(): string | undefined {
    return openTwiceText(this.rows<{ topic: string; grp: string; id: string; times: number }>(questions.twice)[0])
  }

  note(tx: unknown, fact: string): void {
    ;(tx as SqliteTx).run(`insert into ${facts} values (?) on conflict do nothing`, fact)
  }

  keepsWaiting(topic: string, id: string): boolean {
    return this.rows(questions.waitsForGood, topic, id).length > 0
  }

  /** Idle processes have it asked again and again; and of most tables nothing has been seen since another schedule asked. */
  rows<R>(sql: string, ...params: readonly (string | number)[]): R[] {
    return this.committedReads.prepare(withPrefix(sql)).all<R>(...params)
  }

  protected ask<R>(sql: string, ...params: readonly (string | number)[]): R[] {
    return this.rows(sql, ...params)
  }

  published(): Published[] {
    return this.connection.prepare(messages).all<Published>()
  }

  judge(invariant: Invariant): string | undefined {
    const { connection } = this
    try {
      const said = invariant({
        all: (sql, ...params) => connection.prepare(sql).all(...params),
        get: (sql, ...params) => connection.prepare(sql).get(...params),
      })
      return saidBy(said)
    } catch (error) {
      return (error as Error)?.message ?? String(error)
    }
  }

  close(): void {
    this.connection.close()
  }
}

/** One process's connection: it sees a transaction only while that is its own, and is cut when the process dies. */
export class ProcessConnection implements SqliteConnection {
  readonly file = ':memory:'
  readonly library = 'node:sqlite'
  readonly #world: SqliteWorld
  readonly #self: Incarnation
  /** Commits of others since this process looked last, told as SQLite tells it. */
  readonly #version: SqliteStatement
  ownCommits = 0
  open = false

  constructor(world: SqliteWorld, self: Incarnation) {
    this.#world = world
    this.#self = self
    const dataVersion = (): { data_version: number } => ({ data_version: world.commits - this.ownCommits })
    this.#version = { get: dataVersion, all: () => [dataVersion()], reader: true } as unknown as SqliteStatement
  }

  get inTransaction(): boolean {
    return this.open && this.#world.connection.inTransaction
  }

  prepare(sql: string): SqliteStatement {
    if (this.#self.dead) throw new Error(`${this.#self} is dead`)
    if (sql === 'pragma data_version') return this.#version
    return this.compiled(sql)
  }

  protected compiled(sql: string): SqliteStatement {
    this.#world.committedReads.runs(sql)
    return this.#world.connection.prepare(sql)
  }

  prepareArrays(sql: string): SqliteStatement {
    if (this.#self.dead) throw new Error(`${this.#self} is dead`)
    this.#world.committedReads.runs(sql)
    return this.#world.connection.prepareArrays(sql)
  }

  exec(sql: string): void {
    if (this.#self.dead) throw new Error(`${this.#self} is dead`)
    this.#world.committedReads.runs(sql)
    this.#world.connection.exec(sql)
  }

  sibling(): SqliteConnection {
    return this
  }

  owns(handle: unknown): boolean {
    return handle === this.#world.database
  }

  close(): void {}
}

/** A process's connection for Onefold's own statements: what its transaction has not written to yet is as it is committed. */
export class SessionConnection extends ProcessConnection {
  /** The same for statements of the user's, whose rows are theirs to do with what they like. */
  readonly handlers: SqliteConnection
  readonly #reads: CommittedReads

  constructor(world: SqliteWorld, self: Incarnation) {
    super(world, self)
    this.#reads = world.committedReads
    this.handlers = new HandlersConnection(world, self, this)
  }

  protected override compiled(sql: string): SqliteStatement {
    return this.#reads.prepareToRun(sql)
  }
}

class HandlersConnection extends ProcessConnection {
  readonly #session: SessionConnection

  constructor(world: SqliteWorld, self: Incarnation, session: SessionConnection) {
    super(world, self)
    this.#session = session
  }

  override get inTransaction(): boolean {
    return this.#session.inTransaction
  }
}

/** A process's connection for reading what is committed. */
export class ReadingConnection extends ProcessConnection {
  readonly #reads: CommittedReads
  readonly #reader: Incarnation

  constructor(world: SqliteWorld, self: Incarnation) {
    super(world, self)
    this.#reads = world.committedReads
    this.#reader = self
  }

  override prepare(sql: string): SqliteStatement {
    return this.#reader.dead ? super.prepare(sql) : this.#reads.prepare(sql)
  }
}
