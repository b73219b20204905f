import { join } from 'node:path'
import { Pool, types } from 'pg'
import { describe, onTestFinished } from 'vitest'
import type { App, AppEvent, OnefoldOptions } from '../../src/index.ts'
import { onefold } from '../../src/index.ts'
import type { EngineAccess, EngineConfig, EngineName, EngineTx, Row } from './engine-access.ts'
import { numbered, openEngine, openSqlite } from './engine-access.ts'
import { temporaryPostgres } from './postgres.ts'
import { stopAfterwards, TemporaryFile, temporaryFolder } from './temporary.ts'

export type { Context, EngineConfig, EngineName, EngineTx } from './engine-access.ts'
export { handler, openEngine } from './engine-access.ts'

/** The engines that the core's behaviour is tested on: those that ONEFOLD_ENGINES names. `npm run verify` names all. */
const engines = (process.env.ONEFOLD_ENGINES ?? 'sqlite').split(',') as EngineName[]

export interface Engine {
  readonly name: EngineName
  /** A database of its own for the running test, with the user's tables in it. */
  store(tables?: string): Promise<Store>
}

/** The tests of `body`, once on each engine. */
export function describeOnEngines(what: string, body: (engine: Engine) => void): void {
  for (const name of engines) {
    const store = stores[name]
    if (store === undefined) throw new Error(`ONEFOLD_ENGINES names ${name}; there are ${Object.keys(stores).join(' and ')}`)
    // A server's answers come by way of other processes: on a busy machine they take their time.
    const limits = name === 'sqlite' ? {} : { timeout: 40_000 }
    describe(`${what}, on ${name}`, limits, () => body({ name, store }))
  }
}

/** A test's database, the apps opened on it, and a look at its tables that does not go through Onefold. */
export interface Store extends Pick<EngineAccess, 'database' | 'write' | 'read'> {
  readonly config: EngineConfig
  /** What the apps have told of. */
  readonly events: AppEvent[]
  /** Orders rows of the user's tables as they were inserted. */
  readonly inOrder: string
  /** Stands in SQL for all published messages, delivered or not; `place` orders them as they entered. */
  readonly log: string
  app(options?: Partial<OnefoldOptions<EngineTx>>): App<EngineTx>
  /** The name of one of Onefold's own tables. */
  table(name: string): string
  /** Ends its connections before the test is over: for a test that needs many stores one after the other. */
  close(): Promise<void>
  exec(sql: string): Promise<void>
  /** `?` stands for a parameter. */
  rows<R = Row>(sql: string, ...params: (string | number)[]): Promise<R[]>
  /** The only column of the rows. */
  column<T = string>(sql: string, ...params: (string | number)[]): Promise<T[]>
  /** Ids of all messages published to the topic, as they entered. */
  published(topic: string): Promise<string[]>
  /** Ids of the effects, as they were written. */
  effects(): Promise<string[]>
}

const usualTables = 'create table effect (id text, value integer)'

const stores: Record<EngineName, Engine['store']> = {
  async sqlite(tables = usualTables) {
    const config = { engine: 'sqlite', file: join(temporaryFolder(), 'app.db') } as const
    const file = new TemporaryFile(tables, config.file)
    return storeOn(config, openSqlite(config.file), {
      inOrder: 'rowid',
      log: `(select t.name as topic, p.number as partition_number, l.position as place, l.* from onefold_log l
        join onefold_partition p on p.partition = l.position >> 40 join onefold_topic t on t.topic = p.topic) as log`,
      table: (name) => `onefold_${name}`,
      close: async () => undefined,
      exec: async (sql) => file.exec(sql),
      query: async (sql, params) => file.rows(sql, ...params),
    })
  },

  async postgres(tables = usualTables) {
    const { url, pool } = await temporaryPostgres()
    const config = { engine: 'postgres', url } as const
    const access = await openEngine(config)
    const reader = new Pool({ connectionString: url, types: { getTypeParser } })
    const close = async (): Promise<void> => {
      await access.close()
      if (!reader.ended) await reader.end()
    }
    // After the apps are stopped, and before the database is dropped.
    onTestFinished(close)
    if (tables !== '') await pool.query(withOrder(tables))
    return storeOn(config, access, {
      inOrder: 'row_number',
      log: `(select t.name as topic, p.number as partition_number, l.message as place, l.* from onefold.log l
        join onefold.partition p on p.partition = l.partition join onefold.topic t on t.topic = p.topic) as log`,
      table: (name) => `onefold.${name}`,
      close,
      exec: async (sql) => void (await reader.query(sql)),
      query: async (sql, params) => (await reader.query(numbered(sql), params)).rows,
    })
  },
}

interface Dialect extends Pick<Store, 'inOrder' | 'log' | 'table' | 'exec' | 'close'> {
  query(sql: string, params: (string | number)[]): Promise<Row[]>
}

function storeOn(config: EngineConfig, access: EngineAccess, { query, ...dialect }: Dialect): Store {
  const events: AppEvent[] = []
  const onEvent = (event: AppEvent): void => void events.push(event)
  const column = async <T>(sql: string, ...params: (string | number)[]): Promise<T[]> =>
    (await query(sql, params)).map((row) => Object.values(row)[0] as T)
  return {
    ...dialect,
    config,
    events,
    database: access.database,
    write: access.write,
    read: access.read,
    app: (options = {}) => stopAfterwards(onefold({ database: access.database(), onEvent, ...options })),
    rows: async <R>(sql: string, ...params: (string | number)[]) => (await query(sql, params)) as R[],
    column,
    published: (topic) => column(`select id from ${dialect.log} where topic = ? order by place`, topic),
    effects: () => column(`select id from effect order by ${dialect.inOrder}`),
  }
}

/** PostgreSQL has no order of insertion to ask for: each of the user's tables gets a column that has one. */
function withOrder(tables: string): string {
  const named = [...tables.matchAll(/create table (?:if not exists )?(\w+)/gi)].map(([, name]) => name)
  return [tables, ...named.map((name) => `alter table ${name} add column row_number bigint generated always as identity`)].join(
    ';',
  )
}

/** Counts and sums as numbers, as SQLite gives them. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  const { INT8, NUMERIC } = types.builtins
  return oid === INT8 || oid === NUMERIC ? Number : types.getTypeParser(oid, format as 'text')
}
