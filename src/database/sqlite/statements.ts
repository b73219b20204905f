import type { SqliteConnection, SqliteStatement } from './connection.ts'
import { transactionEnded } from './errors.ts'

/** One connection's view of Onefold's tables: `{p}` in SQL becomes the configured prefix. */
export class Statements {
  connection: SqliteConnection
  readonly prefix: string
  readonly #texts = new Map<string, string>()

  constructor(connection: SqliteConnection, prefix: string) {
    this.connection = connection
    this.prefix = prefix
  }

  /** Where the transaction has ended under a handler that did not notice, a write would commit by itself. */
  assertInTransaction(): void {
    if (!this.connection.inTransaction) throw transactionEnded()
  }

  sql(text: string): SqliteStatement {
    let full = this.#texts.get(text)
    if (full === undefined) {
      full = text.replaceAll('{p}', this.prefix)
      this.#texts.set(text, full)
    }
    return this.connection.prepare(full)
  }
}
