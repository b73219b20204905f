import type { SqliteConnection, SqliteStatement, SqlValue } from './connection.ts'
import { transactionEnded } from './errors.ts'

/**
 * For `limit ?`: SQLite plans by the number of a bare parameter there, and compiles the statement again whenever another is bound,
 * also when it is the same number. That costs ten times the reading of a row.
 */
export const limited = 'limit ? + 0'

/** Rows per statement, largest first: a call into SQLite costs more than a row. */
export const bulkSizes = [32, 8, 1] as const

interface Texts {
  readonly full: Map<string, string>
  /** Of inserts, by their head and by how many rows they insert. */
  readonly bulks: Map<string, Map<number, string>>
}

/**
 * By prefix. One string of each for all connections: one that is made anew is hashed, and compared with the one before, whenever
 * its statement is looked for. As many as Onefold has statements.
 */
const textsByPrefix = new Map<string, Texts>()

function textsOf(prefix: string): Texts {
  let texts = textsByPrefix.get(prefix)
  if (texts === undefined) {
    texts = { full: new Map(), bulks: new Map() }
    textsByPrefix.set(prefix, texts)
  }
  return texts
}

/** One connection's view of Onefold's tables: `{p}` in SQL becomes the configured prefix. */
export class Statements {
  connection: SqliteConnection
  readonly prefix: string
  readonly #texts: Texts

  constructor(connection: SqliteConnection, prefix: string) {
    this.connection = connection
    this.prefix = prefix
    this.#texts = textsOf(prefix)
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
    const { bulks } = this.#texts
    let bySize = bulks.get(head)
    if (bySize === undefined) {
      bySize = new Map()
      bulks.set(head, bySize)
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
    const texts = this.#texts.full
    let full = texts.get(text)
    if (full === undefined) {
      full = text.replaceAll('{p}', this.prefix)
      texts.set(text, full)
    }
    return this.connection.prepare(full)
  }
}
