/**
 * The inner seam: what is needed of a client library, whichever it is. Parameters are text, numbers or null, and every
 * statement casts them; many rows go in as one JSON text. So no library's own ideas of types are relied on.
 */
export type SqlParameter = string | number | boolean | null
export type SqlRow = Readonly<Record<string, unknown>>
export type Execute = (text: string, parameters?: readonly SqlParameter[]) => Promise<readonly SqlRow[]>

export interface QueryResult {
  readonly rows: Record<string, unknown>[]
  readonly rowCount: number
}

/** One connection, taken out of the pool. */
export interface PostgresConnection {
  /** Statements are executed in the order of the calls, whether the answers are awaited in between or not. */
  readonly execute: Execute
  /** BEGIN, READ COMMITTED, and `settings` (`name = value`) for this transaction. Answers the rows of `query`. One round trip. */
  begin(settings: readonly string[], query: string): Promise<readonly SqlRow[]>
  /** False: the server has rolled back instead, because a statement before had failed. */
  commit(): Promise<boolean>
  /** A handler's own statement, in the same order; its parameters are the library's business. */
  query(text: string, values: readonly unknown[]): Promise<QueryResult>
  /** Gives it back. `broken`: it is closed instead, and with it whatever it had open. */
  release(broken: boolean): void
}

export interface Listening {
  close(): Promise<void>
}

export interface PostgresClient {
  readonly library: 'pg' | 'postgres.js'
  /** Connections the pool opens at most. */
  readonly maxConnections: number
  /** A statement by itself, on any connection. */
  readonly execute: Execute
  connect(): Promise<PostgresConnection>
  /**
   * Listens on a connection of its own, from when it has one, and goes on after it was lost. `onConnected`: from now on nothing is missed, but
   * something may have been until now.
   */
  listen(channel: string, on: { notified(payload: string): void; connected(): void }): Listening
  /** Where it connects to, without a password. */
  readonly where: string
}
