import type { Execute, Listening, PostgresClient, PostgresConnection, QueryResult, SqlParameter, SqlRow } from './client.ts'
import { isConnectionLost } from './errors.ts'

type Result = SqlRow[] & { readonly command: string | null; readonly count: number }
/** The shape of a postgres.js `sql` bound to one connection, as far as it is used. */
export interface PostgresJsTransaction {
  unsafe(text: string, parameters?: never[]): PromiseLike<Result>
}

interface Reserved extends PostgresJsTransaction {
  release(): void
}

/** A postgres.js `sql` (3.4), by the little of its type that tells it from everything else. */
export interface PostgresJsShape {
  readonly options: { readonly max: number }
  reserve(): Promise<object>
  readonly begin: (...parameters: never[]) => Promise<unknown>
}

/** The transaction that its `begin` hands out. Of its two forms the compiler shows the one with options. */
export type PostgresJsTx<S extends PostgresJsShape> =
  Parameters<S['begin']> extends [string, (tx: infer Tx) => unknown] ? Tx : never

/** The same, as far as it is used. */
export interface PostgresJs extends PostgresJsTransaction {
  readonly options: {
    readonly max: number
    readonly host: readonly string[]
    readonly port: readonly number[]
    readonly database: string
  }
  reserve(): Promise<Reserved>
  begin(options: string, work: (tx: never) => Promise<void>): Promise<unknown>
  listen(channel: string, notified: (payload: string) => void, connected?: () => void): Promise<{ unlisten(): Promise<void> }>
}

export function isPostgresJs(value: unknown): value is PostgresJs {
  if (typeof value !== 'function') return false
  const sql = value as unknown as Partial<PostgresJs>
  return typeof sql.unsafe === 'function' && typeof sql.reserve === 'function'
}

/** Executes on any postgres.js handle: the pool's, a reserved connection's, a transaction's. */
export const executeOn =
  (sql: PostgresJsTransaction): Execute =>
  async (text, parameters: readonly SqlParameter[] = []) =>
    await sql.unsafe(text, parameters as never[])

export class PostgresJsClient implements PostgresClient {
  readonly library = 'postgres.js'
  readonly execute: Execute
  readonly #sql: PostgresJs

  constructor(sql: PostgresJs) {
    this.#sql = sql
    this.execute = executeOn(sql)
  }

  get maxConnections(): number {
    return this.#sql.options.max
  }

  get where(): string {
    const { host, port, database } = this.#sql.options
    return `${host[0] ?? 'localhost'}:${port[0] ?? 5432}/${database}`
  }

  async connect(): Promise<PostgresConnection> {
    return new PostgresJsConnection(await this.#sql.reserve())
  }

  listen(channel: string, on: { notified(payload: string): void; connected(): void }): Listening {
    const listening = this.#sql.listen(channel, on.notified, on.connected).catch(() => undefined)
    return { close: async () => (await listening)?.unlisten() }
  }
}

/**
 * A statement on a reserved connection that is gone ends the process in postgres.js 3.4
 * (https://github.com/porsager/postgres/issues/1208): once one has failed so, no other is sent.
 */
class PostgresJsConnection implements PostgresConnection {
  readonly #sql: Reserved
  #lost: unknown

  constructor(sql: Reserved) {
    this.#sql = sql
  }

  readonly execute: Execute = (text, parameters: readonly SqlParameter[] = []) => this.#send(text, parameters as never[])

  async query(text: string, values: readonly unknown[]): Promise<QueryResult> {
    const rows = await this.#send(text, values as never[])
    return { rows: [...rows], rowCount: rows.count }
  }

  async begin(settings: readonly string[], query: string): Promise<readonly SqlRow[]> {
    const local = settings.map((setting) => `set local ${setting};`).join('')
    const results = (await this.#send(`begin isolation level read committed;${local}${query}`, [])) as unknown as Result[]
    return results.at(-1) ?? []
  }

  async commit(): Promise<boolean> {
    return (await this.#send('commit', [])).command === 'COMMIT'
  }

  /** A lost connection goes back by itself; one with a transaction open is not to be handed to others. */
  release(broken: boolean): void {
    const back = (): void => {
      if (this.#lost === undefined) this.#sql.release()
    }
    if (broken) this.#send('rollback', []).then(back, back)
    else back()
  }

  async #send(text: string, parameters: never[]): Promise<Result> {
    if (this.#lost !== undefined) throw this.#lost
    try {
      return await this.#sql.unsafe(text, parameters)
    } catch (error) {
      if (isConnectionLost(error)) this.#lost = error
      throw error
    }
  }
}
