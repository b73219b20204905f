import type { SqliteConnection, SqliteStatement, SqlValue } from './connection.ts'
import { transactionEnded } from './errors.ts'

/**
 * For `limit ?`: SQLite plans by the number of a bare parameter there, and compiles the statement again whenever another is bound,
 * also when it is the same number. That costs ten times the reading of a row.
 */
export const limited = 'limit ? + 0'

/** Rows per statement, largest first: a call into SQLite costs more than a row. */
export const bulkSizes = [32, 8, 1] as const

/** One connection's view of Onefold's tables: `{p}` in SQL becomes the configured prefix. */
export class Statements {
  connection: SqliteConnection
  readonly prefix: string
  readonly #texts = new Map<string, string>()
  readonly #bulks = new Map<string, Map<number, string>>()

  constructor(connection: SqliteConnection, prefix: string) {
    this.connection = connection
    this.prefix = prefix
  }

  /** Where the transaction has ended under a handler that did not notice, a write would commit by itself. */
  assertInTransaction(): void {
    if (!this.connection.inTransaction) throw transactionEnded()
  }

  /**
   * Inserts many rows with as few statements as there is sense in: `head` is everything up to `values`, `tail` what comes
   * after; `values` holds the rows one after the other. Answers how many rows were changed.
   */
  insertRows(head: string, columns: number, values: SqlValue[], tail = ''): number {
    let changes = 0
    let from = 0
    for (const size of bulkSizes) {
      const width = size * columns
      while (values.length - from >= width) {
        const part = values.length === width ? values : values.slice(from, from + width)
        changes += this.#bulk(head, columns, size, tail).run(...part).changes
        from += width
      }
    }
    return changes
  }

  #bulk(head: string, columns: number, size: number, tail: string): SqliteStatement {
    let bySize = this.#bulks.get(head)
    if (bySize === undefined) {
      bySize = new Map()
      this.#bulks.set(head, bySize)
    }
    let text = bySize.get(size)
    if (text === undefined) {
      const row = `(${Array.from({ length: columns }, () => '?').join(', ')})`
      text = `${head.replaceAll('{p}', this.prefix)} values ${Array.from({ length: size }, () => row).join(', ')} ${tail}`
      bySize.set(size, text)
    }
    return this.connection.prepare(text)
  }

  /** Rows as arrays: for reading very many. */
  arrays(text: string): SqliteStatement {
    return this.connection.prepareArrays(text.replaceAll('{p}', this.prefix))
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
