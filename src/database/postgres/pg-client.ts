import type { Runtime } from '../../runtime.ts'
import type { Execute, Listening, PostgresClient, PostgresConnection, QueryResult, SqlRow } from './client.ts'
import { transactionEnded } from './errors.ts'
import type { PreparedStatements } from './prepared-statements.ts'
import { isStale, preparedStatementsOf, staleStatement } from './prepared-statements.ts'

interface PgResult {
  readonly command: string
  readonly rows: SqlRow[]
  readonly rowCount: number | null
}

/** The shape of a `pg` client, as far as it is used. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<PgResult>
}

interface Query {
  readonly text: string
  readonly values?: unknown[] | undefined
  /** Under which it is prepared. */
  readonly name?: string | undefined
  /** Of pg 8.12 and later: `extended` even without parameters. */
  readonly queryMode?: 'extended'
}

interface Querying {
  query(query: Query): Promise<PgResult>
}

interface PooledClient extends PgClient {
  readonly pipeline?: boolean
  /** Of the server, as it was told when the connection was made. */
  readonly processID?: unknown
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
  release(destroy?: boolean): void
}

interface ListeningClient extends PgClient {
  connect(): Promise<unknown>
  end(): Promise<void>
  on(event: 'notification', listener: (message: { payload?: string }) => void): unknown
  on(event: 'error' | 'end', listener: (error?: unknown) => void): unknown
}

/** The shape of a `pg` Pool (8.x), as far as it is used. */
export interface PgPool {
  readonly options: {
    readonly max?: number | undefined
    readonly connectionString?: string | undefined
    readonly host?: string | undefined
    readonly port?: number | undefined
    readonly database?: string | undefined
  }
  readonly totalCount: number
  connect(): Promise<PgClient & { release(destroy?: boolean): void }>
  query(text: string, values?: unknown[]): Promise<PgResult>
  on(event: 'error', listener: (error: Error) => void): unknown
}

export function isPgPool(value: unknown): value is PgPool {
  const pool = value as Partial<PgPool> | null
  return (
    typeof pool === 'object' &&
    pool !== null &&
    typeof pool.connect === 'function' &&
    typeof pool.query === 'function' &&
    typeof pool.totalCount === 'number'
  )
}

const firstReconnectMs = 50
const longestReconnectMs = 2_000

export class PgPoolClient implements PostgresClient {
  readonly library = 'pg'
  readonly #pool: PgPool
  readonly #runtime: Runtime
  /** Undefined: none are to be. */
  readonly #prepared: PreparedStatements | undefined

  constructor(pool: PgPool, runtime: Runtime, { prepare }: { readonly prepare: boolean }) {
    this.#pool = pool
    this.#runtime = runtime
    this.#prepared = prepare ? preparedStatementsOf(pool) : undefined
    // Without a listener the loss of an idle connection would end the process; whoever uses one next hears of it.
    pool.on('error', () => undefined)
  }

  get maxConnections(): number {
    return this.#pool.options.max ?? 10
  }

  get where(): string {
    const { host, port, database, connectionString } = this.#pool.options
    if (connectionString !== undefined && URL.canParse(connectionString)) {
      const url = new URL(connectionString)
      return `${url.hostname || 'localhost'}:${url.port || 5432}${url.pathname}`
    }
    return `${host ?? 'localhost'}:${port ?? 5432}/${database ?? ''}`
  }

  readonly execute: Execute = async (text, parameters) => {
    const values = parameters as unknown[]
    const name = values === undefined ? undefined : this.#prepared?.nameOf(text)
    if (name === undefined) return (await this.#pool.query(text, values)).rows
    try {
      return (await (this.#pool as unknown as Querying).query({ name, text, values })).rows
    } catch (error) {
      if (!isStale(error)) throw error
      // Nothing of it was executed.
      this.#prepared?.renew()
      return (await this.#pool.query(text, values)).rows
    }
  }

  async connect(): Promise<PostgresConnection> {
    const client = (await this.#pool.connect()) as PooledClient
    // From here on somebody listens when it breaks.
    const connection = new PgConnection(client, this.where, this.#prepared)
    if (this.#prepared !== undefined) await lookWhereItLeads(client, this.#prepared)
    return connection
  }

  listen(channel: string, on: { notified(payload: string): void; connected(): void }): Listening {
    const stop = new AbortController()
    let client: ListeningClient | undefined
    const run = async (): Promise<void> => {
      for (let waitMs = firstReconnectMs; !stop.signal.aborted; ) {
        try {
          const lost = Promise.withResolvers<void>()
          client = newClient(this.#pool)
          client.on('error', () => lost.resolve())
          client.on('end', () => lost.resolve())
          client.on('notification', ({ payload }) => on.notified(payload ?? ''))
          stop.signal.addEventListener('abort', () => lost.resolve(), { once: true })
          await client.connect()
          await client.query(`listen "${channel}"`)
          waitMs = firstReconnectMs
          on.connected()
          await lost.promise
        } catch {
          // Tried again below; meanwhile whoever waits looks now and then.
        }
        await client?.end().catch(() => undefined)
        if (stop.signal.aborted) return
        await this.#runtime.sleep(waitMs, stop.signal)
        waitMs = Math.min(longestReconnectMs, waitMs * 2)
      }
    }
    const running = run()
    return {
      close: async () => {
        stop.abort()
        await running
      },
    }
  }
}

/** As the pool makes its own: the same class and the same options. */
function newClient(pool: PgPool): ListeningClient {
  const { Client } = pool as unknown as { Client: new (options: unknown) => ListeningClient }
  return new Client(pool.options)
}

async function lookWhereItLeads(client: PooledClient, prepared: PreparedStatements): Promise<void> {
  if (prepared.leadsToServer !== undefined) return
  const { processID } = client
  try {
    prepared.leadsToServer =
      typeof processID === 'number' && Number((await client.query('select pg_backend_pid() as pid')).rows[0]?.pid) === processID
  } catch {
    // Whoever uses this connection hears of it; the next one is looked at.
  }
}

const heard = (): void => undefined

const endsTransaction = ({ command }: Pick<PgResult, 'command'>): boolean => command === 'COMMIT' || command === 'ROLLBACK'

class PgConnection implements PostgresConnection {
  readonly #client: PooledClient
  readonly #where: string
  readonly #prepared: PreparedStatements | undefined
  /** One statement at a time where the client does not pipeline. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(client: PooledClient, where: string, prepared: PreparedStatements | undefined) {
    this.#client = client
    this.#where = where
    this.#prepared = prepared
    // While it is out of the pool nobody else listens; the statement that is under way fails, and that is enough.
    client.on('error', heard)
  }

  readonly execute: Execute = async (text, parameters) => (await this.#query(text, parameters)).rows

  async query(text: string, values: readonly unknown[]): Promise<QueryResult> {
    // The server takes one statement in a text then, so that none hides behind another.
    const result = await this.#extended(text, values)
    const { rows, rowCount, command } = Array.isArray(result)
      ? ((result.find(endsTransaction) ?? result.at(-1)) as PgResult)
      : result
    if (endsTransaction({ command })) throw transactionEnded()
    return { rows: rows as QueryResult['rows'], rowCount: rowCount ?? 0 }
  }

  async begin(settings: readonly string[], query: string): Promise<readonly SqlRow[]> {
    const begin = `begin isolation level read committed;${settings.map((setting) => `set local ${setting};`).join('')}`
    if (this.#client.pipeline === true) {
      // One way to the server as well, and the second is planned once.
      const [, { rows }] = await Promise.all([this.#query(begin), this.#extended(query, [])])
      return rows
    }
    const results = (await this.#query(`${begin}${query}`)) as unknown as PgResult[]
    return results.at(-1)?.rows ?? []
  }

  async commit(): Promise<boolean> {
    return (await this.#query('commit')).command === 'COMMIT'
  }

  release(broken: boolean): void {
    if (!broken) this.#client.off('error', heard)
    this.#client.release(broken)
  }

  #extended(text: string, values: readonly unknown[]): Promise<PgResult> {
    const query: Query = { text, values: values as unknown[], queryMode: 'extended' }
    const name = this.#prepared?.nameOf(text)
    return name === undefined
      ? this.#inTurn(() => (this.#client as unknown as Querying).query(query))
      : this.#named({ name, ...query })
  }

  #query(text: string, parameters?: readonly unknown[]): Promise<PgResult> {
    const prepares = parameters !== undefined && parameters.length > 0
    const name = prepares ? this.#prepared?.nameOf(text) : undefined
    const values = parameters as unknown[]
    return name === undefined ? this.#inTurn(() => this.#client.query(text, values)) : this.#named({ name, text, values })
  }

  async #named(query: Query): Promise<PgResult> {
    try {
      return await this.#inTurn(() => (this.#client as unknown as Querying).query(query))
    } catch (error) {
      if (!isStale(error)) throw error
      this.#prepared?.renew()
      throw staleStatement(error, this.#where)
    }
  }

  #inTurn(send: () => Promise<PgResult>): Promise<PgResult> {
    if (this.#client.pipeline === true) return send()
    const result = this.#last.then(send, send)
    this.#last = result
    return result
  }
}
