import { DatabaseSync } from 'node:sqlite'
import type { AttentionKind } from '../../attention/attention-store.ts'
import type { SqliteConnection, SqliteStatement } from '../../database/sqlite/connection.ts'
import { nodeConnection } from '../../database/sqlite/connection.ts'
import { migrate } from '../../database/sqlite/open-file.ts'
import type { SqliteTx } from '../../database/sqlite/transaction-handle.ts'
import type { Runtime } from '../../runtime.ts'
import type { Operation } from '../history.ts'
import { CommittedReads } from './committed-reads.ts'
import { keepTables } from './kept-tables.ts'
import type { Invariant } from './subject.ts'
import type { Incarnation } from './world.ts'

/** A table of the user's, with what of it can be compared between runs. */
interface UserTable {
  readonly name: string
  readonly columns: readonly string[]
}

/** A message that is there for consumers. */
export interface Published {
  readonly topic: string
  readonly id: string
  /** JSON. */
  readonly data: string
  /** Who waits behind whom: null and undefined for nobody. */
  readonly key?: string | null
}

export const prefix = 'onefold_'
/** What a producer writes in the transactions in which it publishes. */
const facts = `${prefix}simulated_fact`

const messages = `select topic, id, key, data from ${prefix}message order by topic, partition, "offset"`
const waiting = `select s.topic, s.grp as "group", a.kind, a.data from ${prefix}attention a join ${prefix}subscription s using (subscription)
  where a.state = 'open'`
const attention = `select s.topic, s.grp, a.id, a.kind, a.error_message like '% was received before with other data.' as reused from ${prefix}attention a join ${prefix}subscription s using (subscription)
  where a.state = 'open' order by a.attention`
const twice = `select s.topic, s.grp, a.id, count(*) as times from ${prefix}attention a join ${prefix}subscription s using (subscription)
  where a.state = 'open' group by a.parked having times > 1 limit 1`
const forPerson = `select 1 from ${prefix}attention where state = 'open' and (kind in ('unknown-outcome', 'late-message') or kind = 'dead-letter' and
  (error_message like '%(simulated)%' or error_message like 'the process ended % times while message % was running alone.')) limit 1`
const waitsForGood = `select 1 from ${prefix}attention join ${prefix}subscription s using (subscription)
  where s.topic = ? and id = ? and state = 'open' and kind = 'dead-letter' and error_message not like '%(simulated)%'
    and error_message not like 'the process ended % times while message % was running alone.'`
const held = `with mine as (select owner from ${prefix}owner where pid = ?)
  select 'the lease ' || name as what from ${prefix}lease where owner in mine
  union all select 'its place in ' || membership from ${prefix}member where owner in mine
  union all select 'its entry as an owner' from mine`
const behind = `select s.topic, s.grp as "group", p.id from ${prefix}parked p join ${prefix}subscription s using (subscription)
  where p.state = 'behind'`
const parked = `select s.topic, s.grp, p.id from ${prefix}parked p join ${prefix}subscription s using (subscription)`
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

/**
 * One real SQLite database in memory, which all simulated processes share. Transactions are real; only one is open at a time,
 * and who has it open is known. Between schedules it is emptied, not made again.
 */
export class SqliteWorld {
  readonly database: DatabaseSync
  readonly connection: SqliteConnection
  commits = 0
  readonly #setup: ((database: DatabaseSync) => void) | undefined
  #reset: (() => void) | undefined
  #reads: CommittedReads | undefined
  #userTables: readonly UserTable[] = []

  constructor(runtime: Runtime, setup: ((database: DatabaseSync) => void) | undefined) {
    this.database = new DatabaseSync(':memory:')
    this.connection = nodeConnection(this.database, ':memory:')
    this.#setup = setup
    migrate(this.connection, ':memory:', { prefix, runtime })
    this.connection.exec(`create table ${facts} (fact text primary key) strict`)
  }

  /** As it was before anything happened: Onefold's tables, and the user's as `setup` leaves them. */
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

  /** The user's tables, as one text a row, in an order of their own. */
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

  /** Messages a group has not come to, or is to attempt again, or that are to be delivered later: in words, and '' for none. */
  whatIsLeft(): string {
    return this.#listed(left)
  }

  /** The same without what is to be delivered later. */
  whatIsLeftNow(): string {
    return this.#listed(leftNow)
  }

  #listed(sql: string): string {
    return this.committedReads
      .prepare(sql)
      .all<{ what: string; messages: number }>()
      .map(({ what, messages }) => `${what}: ${messages}`)
      .join(', ')
  }

  /** Something waits that a person can see to: calls of which nobody knows, or what the world itself has brought about. */
  get needsPerson(): boolean {
    return this.committedReads.prepare(forPerson).get() !== undefined
  }

  /** A message that stands open in attention more than once: a person would have to act on it again and again. */
  openTwice(): string | undefined {
    const row = this.committedReads.prepare(twice).get<{ topic: string; grp: string; id: string; times: number }>()
    return row === undefined
      ? undefined
      : `${row.id} of topic ${row.topic} stands open in attention ${row.times} times for group ${row.grp}.`
  }

  /** Writes a row of a producer's own, once. */
  note(tx: unknown, fact: string): void {
    ;(tx as SqliteTx).run(`insert into ${facts} values (?) on conflict do nothing`, fact)
  }

  /** A message that some group does not let go: its identity is known for as long as it waits for a person. */
  keepsWaiting(topic: string, id: string): boolean {
    return this.connection.prepare(waitsForGood).get(topic, id) !== undefined
  }

  /** What this process has not given back, in words; '' for nothing. */
  heldBy(pid: number): string {
    return this.connection
      .prepare(held)
      .all<{ what: string }>(pid)
      .map(({ what }) => what)
      .join(', ')
  }

  /** A lease whose last owners are said to have ended uncleanly. */
  get uncleanEnds(): string | undefined {
    return this.connection.prepare(`select name from ${prefix}lease where crashes > 0`).get<{ name: string }>()?.name
  }

  /** Who waits behind another message of its key. */
  behind(): { topic: string; group: string; id: string }[] {
    return this.connection.prepare(behind).all()
  }

  /** What stands in the log, where the database is the broker. */
  published(): Published[] {
    return this.connection.prepare(messages).all<Published>()
  }

  /** What waits for a person. */
  attention(): { topic: string; group: string; kind: string; data: string }[] {
    return this.committedReads.prepare(waiting).all()
  }

  /** What was published from inside, what came to wait for a person, and the end, for the checkers. */
  addTo(history: Operation[], published: readonly Published[]): void {
    const { connection } = this
    const known = new Set(history.flatMap((one) => (one.op === 'publish' ? [`${one.topic} ${one.identity}`] : [])))
    for (const { topic, id, key, data } of published) {
      if (known.has(`${topic} ${id}`)) continue
      history.push({ op: 'publish', topic, identity: id, outcome: 'happened', ...(key == null ? {} : { key }), body: data })
    }
    for (const { fact } of connection.prepare(`select fact from ${facts}`).all<{ fact: string }>())
      history.push({ op: 'fact', fact })
    const rows = connection
      .prepare(attention)
      .all<{ topic: string; grp: string; id: string; kind: AttentionKind; reused: number }>()
    // Another body under an identity that is taken waits for a person as well; the message of that identity does not.
    for (const { topic, grp, id, kind, reused } of rows)
      if (reused === 0) history.push({ op: 'attention', topic, group: grp, identity: id, kind })
    const waiting = connection.prepare(parked).all<{ topic: string; grp: string; id: string }>()
    history.push({
      op: 'end',
      quiet: true,
      waiting: waiting.map(({ topic, grp, id }) => ({ topic, group: grp, identity: id })),
    })
  }

  /** What an invariant of the user's says of what is committed; undefined when it holds. */
  judge(invariant: Invariant): string | undefined {
    const { connection } = this
    try {
      const said = invariant({
        all: (sql, ...params) => connection.prepare(sql).all(...params),
        get: (sql, ...params) => connection.prepare(sql).get(...params),
      })
      return said === false ? 'It does not hold.' : typeof said === 'string' ? said : undefined
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
