import type { Execute } from '../../database/postgres/client.ts'
import type { PostgresDatabase } from '../../database/postgres/postgres-database.ts'
import type { TransactionHandle, Transactions } from '../../database/postgres/transactions.ts'
import { parseJson } from '../../parse-json.ts'
import { nodeRuntime } from '../../runtime/node-runtime.ts'
import { LockWaits } from './lock-waits.ts'
import { forgetOnPostgres } from './postgres-forgetting.ts'
import type { PostgresTable } from './postgres-tables.ts'
import { keepRows, tablesIn } from './postgres-tables.ts'
import type { PgConnected, PgLibrary } from './scratch-database.ts'
import { planned, ScratchDatabase } from './scratch-database.ts'
import type { Invariant } from './subject.ts'
import type { World } from './world.ts'
import { nobody } from './world.ts'
import type { Published } from './world-database.ts'
import { openTwiceText, questions, saidBy, told, WorldDatabase } from './world-database.ts'

export type Declared = PostgresDatabase<unknown>['declared']

/** A message has an offset when somebody has looked for it: they are counted, not their offsets. */
const leftNow = `
  select s.topic || '/' || s.grp as what, sum(l.messages - coalesce(c."offset", 0)) as messages
    from {p}subscription s join {p}topic t on t.name = s.topic join {p}partition p on p.topic = t.topic
    cross join lateral (select count(*) as messages from {p}log l where l.partition = p.partition) l
    left join {p}checkpoint c on c.subscription = s.subscription and c.partition = cast(p.number as text)
    where l.messages > coalesce(c."offset", 0) group by 1
  union all select s.topic || '/' || s.grp || ', parked', count(*)
    from {p}parked join {p}subscription s using (subscription) where state in ('waiting', 'calling') group by 1
  union all select 'the outbox', count(*) from {p}outbox having count(*) > 0`
const left = `${leftNow}
  union all select 'to be delivered later', count(*) from {p}schedule having count(*) > 0`
const asJson = (question: string): string => `(select coalesce(json_agg(q), '[]') from (${question}) q)::text`
const stillToDo = `select ${asJson(left)} as "left", ${asJson(leftNow)} as now, ${asJson(questions.twice)} as twice,
  exists (${questions.forPerson}) as person`
const messages = `select t.name as topic, l.id, l.key, l.data
  from {p}log l join {p}partition p using (partition) join {p}topic t using (topic) order by t.name, p.number, l.message`

/** So many connections at a time are more than a schedule can need: something does not give them back. */
const mostConnections = 60
/** After so many schedules the server is told to tidy up. */
const vacuumEvery = 100

/**
 * One real database on a real PostgreSQL server, which all simulated processes share. One statement at a time is executed in it, and
 * while it is, the world stands still: so its order is the world's.
 */
export class PostgresWorld extends WorldDatabase {
  readonly engine: string
  readonly together = true
  readonly declared: Declared
  /** Quoted. */
  readonly schema: string
  /** How often something may have been committed. */
  commits = 0
  readonly #scratch: ScratchDatabase
  readonly #observer: PgConnected
  readonly locks: LockWaits
  readonly #idle: PgConnected[] = []
  readonly #out = new Set<PgConnected>()
  readonly #userTables: readonly PostgresTable[]
  readonly #putBack: string
  #world: World | undefined
  #resets = 0
  #resetsMs = 0
  #lookedAt = -1
  #left = ''
  #leftNow = ''
  #person = false
  #twice: string | undefined

  private constructor(
    scratch: ScratchDatabase,
    observer: PgConnected,
    kept: { readonly declared: Declared; readonly users: readonly PostgresTable[]; readonly putBack: string },
  ) {
    super()
    this.engine = scratch.version
    this.declared = kept.declared
    this.schema = `"${schemaOf(kept.declared)}"`
    this.#scratch = scratch
    this.#observer = observer
    this.locks = new LockWaits(observer)
    this.#userTables = kept.users
    this.#putBack = kept.putBack
  }

  /**
   * Makes a database of its own on the server at `url`, with Onefold's tables and those of the user's that `setup` makes.
   *
   * @throws OnefoldError naming the option `postgres`; what `setup` throws.
   */
  static async make(declared: Declared, url: string, setup: ((client: never) => unknown) | undefined): Promise<PostgresWorld> {
    const schema = schemaOf(declared)
    const scratch = await ScratchDatabase.make(declared.target as PgLibrary, url, `"${schema}"`, nodeRuntime())
    try {
      const observer = await scratch.connect()
      await observer.query(`create table "${schema}".simulated_fact (fact text primary key)`)
      await observer.query(`insert into "${schema}".server_life (life) values ('simulated') on conflict do nothing`)
      // A role of the schema's name makes its tables in it: by the schema they could not be told apart.
      const own = new Set((await tablesIn(observer)).map(({ quoted }) => quoted))
      if (setup !== undefined) {
        const client = await scratch.connect()
        await setup(client as never)
        await scratch.end(client)
      }
      const tables = await tablesIn(observer)
      const putBack = await keepRows(observer, tables, scratch.superuser)
      return new PostgresWorld(scratch, observer, { declared, users: tables.filter(({ quoted }) => !own.has(quoted)), putBack })
    } catch (error) {
      await scratch.close()
      throw error
    }
  }

  get resetMs(): number {
    return this.#resetsMs / Math.max(1, this.#resets)
  }

  override begins(world: World): void {
    this.#world = world
  }

  async reset(): Promise<void> {
    const runtime = nodeRuntime()
    const startedMs = runtime.monotonicMs()
    for (const client of [...this.#out]) await this.giveBack(client, true)
    await this.#observer.query(this.#putBack)
    if (++this.#resets % vacuumEvery === 0) await this.#observer.query('vacuum')
    this.#resetsMs += runtime.monotonicMs() - startedMs
    this.commits++
  }

  /** One of the connections that nobody has. */
  async take(): Promise<PgConnected> {
    if (this.#out.size >= mostConnections)
      throw new Error(`more than ${mostConnections} connections are open at a time (simulated)`)
    const client = this.#idle.pop() ?? (await this.#scratch.connect())
    this.#out.add(client)
    return client
  }

  /** `open`: there may be a transaction open on it. */
  async giveBack(client: PgConnected, open: boolean, world?: World): Promise<void> {
    if (!this.#out.delete(client)) return
    try {
      await this.locks.cancel(client)
      if (open) {
        await client.query('rollback')
        if (world !== undefined) await this.locks.released(world)
      }
      this.#idle.push(client)
    } catch {
      await this.#scratch.end(client)
    }
  }

  async rows<R>(sql: string, ...params: readonly (string | number)[]): Promise<R[]> {
    let place = 0
    const text = sql.replaceAll('{p}', `${this.schema}.`).replaceAll('?', () => `$${++place}`)
    return (await this.#observer.query(planned(text, params))).rows as R[]
  }

  protected ask<R>(sql: string, ...params: readonly (string | number)[]): Promise<R[]> {
    return this.#inTurn(() => this.rows<R>(sql, ...params))
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const world = this.#world
    if (world === undefined) return work()
    return new Promise<R>((resolve, reject) => {
      const run = async (): Promise<() => void> => {
        try {
          const value = await work()
          return () => resolve(value)
        } catch (error) {
          return () => reject(error)
        }
      }
      world.errand({ owner: nobody, run })
    })
  }

  override look(): Promise<void> | undefined {
    return this.#lookedAt === this.commits ? undefined : this.#look()
  }

  async #look(): Promise<void> {
    const at = this.commits
    const [row] = await this.rows<{ left: string; now: string; twice: string; person: boolean }>(stillToDo)
    if (row === undefined) return
    this.#left = told(parseJson(row.left) as never)
    this.#leftNow = told(parseJson(row.now) as never)
    this.#twice = openTwiceText((parseJson(row.twice) as never[])[0])
    this.#person = row.person
    this.#lookedAt = at
  }

  override async leftNow(): Promise<string> {
    await this.#inTurn(() => this.#look())
    return this.#leftNow
  }

  whatIsLeft(): string {
    return this.#left
  }

  whatIsLeftNow(): string {
    return this.#leftNow
  }

  get needsPerson(): boolean {
    return this.#person
  }

  openTwice(): string | undefined {
    return this.#twice
  }

  async keepsWaiting(topic: string, id: string): Promise<boolean> {
    return (await this.ask(questions.waitsForGood, topic, id)).length > 0
  }

  forget(world: World, topic: string, group: string): void {
    const execute: Execute = async (text, parameters) => (await this.#observer.query(text, parameters)).rows
    const run = async (): Promise<() => void> => {
      try {
        await forgetOnPostgres(execute, { schema: this.schema, nowMs: world.nowMs, topic, group })
      } catch (error) {
        world.trouble ??= error as Error
      }
      this.commits++
      return () => undefined
    }
    world.errand({ owner: nobody, run })
  }

  async userRows(ignored: ReadonlySet<string>): Promise<Map<string, readonly string[]>> {
    const state = new Map<string, string[]>()
    const parts: string[] = []
    for (const { name, quoted, compared } of this.#userTables) {
      const shown = compared.filter((column) => !ignored.has(`${name}.${unquoted(column)}`))
      if (shown.length === 0) continue
      state.set(name, [])
      parts.push(
        `select $${state.size}::text as part, row_to_json(t)::text as row from (select ${shown.join(', ')} from ${quoted}) t`,
      )
    }
    if (parts.length === 0) return state
    const { rows } = await this.#observer.query(parts.join(' union all '), [...state.keys()])
    for (const { part, row } of rows) state.get(String(part))?.push(String(row))
    for (const list of state.values()) list.sort()
    return state
  }

  async published(): Promise<Published[]> {
    return await this.rows(messages)
  }

  async judge(invariant: Invariant): Promise<string | undefined> {
    const all = async (sql: string, ...params: unknown[]): Promise<unknown[]> => (await this.#observer.query(sql, params)).rows
    try {
      const committed = { all, get: async (sql: string, ...params: unknown[]) => (await all(sql, ...params))[0] }
      return saidBy(await invariant(committed as never))
    } catch (error) {
      // It may have begun a transaction, or left one that failed.
      await this.#observer.query('rollback').catch(() => undefined)
      return (error as Error)?.message ?? String(error)
    }
  }

  async note(tx: unknown, fact: string): Promise<void> {
    const transactions = this.declared.options.transactions as Transactions<unknown> | undefined
    const execute = transactions === undefined ? (tx as TransactionHandle).execute : transactions.execute(tx)
    await execute(`insert into ${this.schema}.simulated_fact values ($1) on conflict do nothing`, [fact])
  }

  async close(): Promise<void> {
    await this.#scratch.close()
  }
}

const schemaOf = ({ options: { schema = 'onefold' } }: Declared): string => schema
const unquoted = (name: string): string => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name)
