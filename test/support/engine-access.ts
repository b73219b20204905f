/** What differs between the databases that Onefold runs on, for tests that do not care which it is, in any process of theirs. */
import { Pool } from 'pg'
import type { Database } from '../../src/database/database.ts'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { ApplyContext } from '../../src/index.ts'
import type { Awaitable } from '../../src/message.ts'

/** Where a test's data is, to be handed to another process. */
export type EngineConfig =
  | { readonly engine: 'sqlite'; readonly file: string }
  | { readonly engine: 'postgres'; readonly url: string }

export type EngineName = EngineConfig['engine']

declare const opaque: unique symbol
/** What a handler gets as `tx` from any engine; only `write` and `read` know what it is. */
export interface EngineTx {
  readonly [opaque]: true
}

/** What a handler gets beside its message; named because `handler` hides from the compiler where it is handed to. */
export type Context<C = unknown> = Omit<ApplyContext<EngineTx, unknown>, 'calls'> & { readonly calls: C }

export type Row = Record<string, unknown>

export interface EngineAccess {
  /** For an app of its own: nothing is shared with another. */
  database(): Database<EngineTx>
  /**
   * SQL with `?` for its parameters, in a handler's transaction. On SQLite it is done when it returns, without a promise; so a
   * handler that only returns it is synchronous there and asynchronous elsewhere. For longer ones there is `handler`.
   */
  write(tx: EngineTx, sql: string, ...params: unknown[]): Awaitable<void>
  read<R = Row>(tx: EngineTx, sql: string, ...params: unknown[]): Awaitable<R[]>
  /** Ends the connections that were made for its databases. */
  close(): Promise<void>
}

/** The shape of `tx` on PostgreSQL, as far as it is used. */
interface PostgresTx {
  query(text: string, params: unknown[]): Promise<{ rows: Row[] }>
}

type Postgres = (pool: Pool, options: { migrations: 'apply' }) => Database<PostgresTx>

export async function openEngine(config: EngineConfig): Promise<EngineAccess> {
  return config.engine === 'sqlite' ? openSqlite(config.file) : await openPostgres(config.url)
}

export function openSqlite(file: string): EngineAccess {
  return {
    database: () => sqlite(file) as unknown as Database<EngineTx>,
    write: (tx, sql, ...params) => void (tx as unknown as SqliteTx).run(sql, ...params),
    read: (tx, sql, ...params) => (tx as unknown as SqliteTx).all(sql, ...params),
    close: async () => undefined,
  }
}

async function openPostgres(url: string): Promise<EngineAccess> {
  const engine = new URL('../../src/database/postgres/index.ts', import.meta.url)
  const { postgres } = (await import(engine.href)) as { postgres: Postgres }
  const pools: Pool[] = []
  return {
    database() {
      const pool = new Pool({ connectionString: url })
      pools.push(pool)
      return postgres(pool, { migrations: 'apply' }) as unknown as Database<EngineTx>
    },
    write: async (tx, sql, ...params) => void (await (tx as unknown as PostgresTx).query(numbered(sql), params)),
    read: async <R>(tx: EngineTx, sql: string, ...params: unknown[]) =>
      (await (tx as unknown as PostgresTx).query(numbered(sql), params)).rows as R[],
    close: async () => void (await Promise.all(pools.splice(0).map((pool) => pool.end()))),
  }
}

/** `?` outside quotes becomes `$1`, `$2` … */
export function numbered(sql: string): string {
  let count = 0
  return sql.replace(/'[^']*'|"[^"]*"|\?/g, (found) => (found === '?' ? `$${++count}` : found))
}

/**
 * A handler of several steps, each `yield`ed: it is synchronous if what it yields is, and asynchronous from the first promise
 * on. What a promise is rejected with is thrown where it was yielded.
 */
export function handler<A extends unknown[], R, N>(body: (...args: A) => Generator<unknown, R, N>): (...args: A) => Awaitable<R> {
  return (...args) => {
    const steps = body(...args)
    const follow = (step: IteratorResult<unknown, R>): Awaitable<R> => {
      let at = step
      while (at.done !== true) {
        if (isPromise(at.value))
          return at.value.then(
            (value) => follow(steps.next(value as N)),
            (error) => follow(steps.throw(error)),
          )
        at = steps.next(at.value as N)
      }
      return at.value
    }
    return follow(steps.next(...([] as unknown as [N])))
  }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise
}
