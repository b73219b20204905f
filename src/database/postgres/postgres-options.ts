import type { Transactions } from './transactions.ts'

export interface PostgresOptions<Tx = unknown> {
  /**
   * How the client you write with runs transactions: `fromDrizzle(db)`, `fromKysely(db)`, … It decides what `tx` is in handlers,
   * in `app.transaction`, and what `{ tx }` takes. Default: the pool you gave.
   */
  readonly transactions?: Transactions<Tx>
  /** Where Onefold's tables are. Lower-case letters, digits, underscore; default 'onefold'. */
  readonly schema?: string
  /**
   * 'check' (default): tables that are missing or older are an error that names the command; nothing is created. 'apply': they
   * are created and brought up to date when the app opens, by one of several processes that start at once.
   */
  readonly migrations?: 'check' | 'apply'
  /**
   * 'on' (default): a server that does not put commits on disk (`fsync` or `synchronous_commit` is off) is refused. 'off': it is
   * taken as it is; `start()` then refuses effectively-once consumers.
   */
  readonly durability?: 'on' | 'off'
  /**
   * The server ends a transaction whose process does nothing for so long (frozen, or gone without a word), so that others can take
   * over: `idle_in_transaction_session_timeout`, for Onefold's transactions only. 1,000 to 600,000 ms, default 10,000. A handler
   * that waits longer than that between two statements loses its transaction.
   */
  readonly idleInTransactionMs?: number
  /** False: behind a pooler in transaction mode, which has no LISTEN: others' messages are found by looking. Default true. */
  readonly listen?: boolean
  /**
   * With a pool of `pg`: statements that are executed often are prepared, once per connection, yours in `tx.query` too. Default true, and
   * without effect behind a pooler, which is noticed. False: for statements that a generic plan does not suit
   * (https://www.postgresql.org/docs/current/sql-prepare.html).
   */
  readonly preparedStatements?: boolean
  /** How often it is looked for what no notification told of: 20 to 60,000 ms, default 250. */
  readonly pollMs?: number
}
