import { OnefoldError } from '../../errors.ts'
import type { MovedPage, MovedRow, MovedTable, MoveSource, PageLimits, SourceMark } from '../../move/move-store.ts'
import { parseJson } from '../../parse-json.ts'
import type { Runtime } from '../../runtime.ts'
import type { SqliteConnection, SqlValue } from './connection.ts'
import { openNodeSqlite } from './connection.ts'
import { explainError, isBusy } from './errors.ts'
import { movedMark } from './moved.ts'
import { pageQuery } from './moved-queries.ts'
import { checkedPath, configure, migrate } from './open-file.ts'
import type { SqliteOptions } from './sqlite-options.ts'
import { Statements } from './statements.ts'

/** A process frozen in a transaction holds the lock: whoever runs the move is told, and ends or continues it. */
const busyLimitMs = 30_000
const pollMs = 1

/** A file that is moved away, on a connection of its own: to the processes that use it, the seal is somebody else's commit. */
export class SqliteMoveSource implements MoveSource {
  readonly where: string
  readonly #connection: SqliteConnection
  readonly #statements: Statements
  readonly #runtime: Runtime

  /** @throws OnefoldError `NOT_FOUND` where the file holds nothing of Onefold, and what opening a database throws. */
  static async open(file: string, runtime: Runtime, options: Pick<SqliteOptions, 'prefix'> = {}): Promise<SqliteMoveSource> {
    const prefix = options.prefix ?? 'onefold_'
    const path = checkedPath(file)
    const connection = openNodeSqlite(path, { readOnly: false })
    const source = new SqliteMoveSource(connection, path, runtime, prefix)
    try {
      await source.#whenFree(() => {
        configure(connection, path, { prefix, synchronous: 'FULL', create: false, cacheMiB: 16 })
        migrate(connection, path, { prefix, runtime })
      })
      return source
    } catch (error) {
      connection.close()
      throw error
    }
  }

  private constructor(connection: SqliteConnection, file: string, runtime: Runtime, prefix: string) {
    this.where = file
    this.#connection = connection
    this.#statements = new Statements(connection, prefix)
    this.#runtime = runtime
  }

  look(): { incarnation: string; mark: SourceMark | undefined } {
    const row = this.#statements.sql("select value from {p}meta where name = 'incarnation'").get<{ value: string }>()
    return { incarnation: row?.value ?? '', mark: movedMark(this.#statements) }
  }

  seal({ id, to }: Pick<SourceMark, 'id' | 'to'>): Promise<SourceMark> {
    return this.#alone(() => {
      const there = movedMark(this.#statements)
      if (there !== undefined) return there
      const mark: SourceMark = { id, to, state: 'sealed', atMs: Math.floor(this.#runtime.wallMs()) }
      this.#write(mark)
      // What a crash was counted for, and by whom a partition was held, stays to be seen; only nobody holds it any more.
      this.#statements.sql('update {p}lease set epoch = epoch + 1, owner = null').run()
      // Every window has a generation that takes new ids, as a target wants to be told.
      this.#statements
        .sql(
          `insert into {p}generation (window, opened_ms) select w.window, ? from {p}window w
           where not exists (select 1 from {p}generation g where g.window = w.window and g.sealed_ms is null and g.dropped = 0)`,
        )
        .run(mark.atMs)
      this.#statements.sql('delete from {p}member').run()
      this.#statements.sql('delete from {p}owner').run()
      return mark
    })
  }

  change(id: string, from: SourceMark['state'], to: SourceMark['state'] | undefined): Promise<boolean> {
    return this.#alone(() => {
      const mark = movedMark(this.#statements)
      if (mark?.id !== id || mark.state !== from) return false
      if (to === undefined) this.#statements.sql("delete from {p}meta where name = 'moved_to'").run()
      else this.#write({ ...mark, state: to })
      return true
    })
  }

  page(table: MovedTable, after: string | undefined, limits: PageLimits): MovedPage {
    const { sql, keys } = pageQuery(table, { first: after === undefined })
    const begin = after === undefined ? [] : keysFrom(after)
    const width = table.columns.length
    const rows: MovedRow[] = []
    let bytes = 0
    let lastKeys: SqlValue[] = []
    for (const row of this.#statements.arrays(sql).iterate<SqlValue[]>(...begin, limits.rows)) {
      const values = row.slice(0, width) as (string | null)[]
      rows.push(values)
      lastKeys = row.slice(width, width + keys)
      for (const value of values) bytes += value?.length ?? 0
      if (bytes >= limits.bytes) break
    }
    return {
      rows,
      after: rows.length === 0 ? after : keysText(lastKeys),
      last: rows.length < limits.rows && bytes < limits.bytes,
    }
  }

  numbersGiven(): Map<string, bigint> {
    const prefix = this.#statements.prefix
    const rows = this.#statements
      .sql('select name, cast(seq as text) as seq from sqlite_sequence where substr(name, 1, length(?1)) = ?1')
      .all<{ name: string; seq: string }>(prefix)
    return new Map(rows.map(({ name, seq }) => [name.slice(prefix.length), BigInt(seq)]))
  }

  close(): void {
    this.#connection.close()
  }

  #write(mark: SourceMark): void {
    this.#statements
      .sql("insert into {p}meta (name, value) values ('moved_to', ?) on conflict do update set value = excluded.value")
      .run(JSON.stringify(mark))
  }

  /** In a transaction of its own. */
  #alone<R>(work: () => R): Promise<R> {
    return this.#whenFree(() => {
      this.#connection.prepare('begin immediate').run()
      try {
        const result = work()
        this.#connection.prepare('commit').run()
        return result
      } catch (error) {
        if (this.#connection.inTransaction) this.#connection.prepare('rollback').run()
        throw error
      }
    })
  }

  async #whenFree<R>(work: () => R): Promise<R> {
    const until = this.#runtime.monotonicMs() + busyLimitMs
    for (;;) {
      try {
        return work()
      } catch (error) {
        if (!isBusy(error)) throw explainError(error, this.where)
        if (this.#runtime.monotonicMs() > until) {
          throw new OnefoldError(
            'DATABASE_BUSY',
            `database ${this.where}: another process has held the write lock for ${busyLimitMs / 1000} s. \`onefold status\` names its pid; end or continue it, then repeat.`,
            { retry: 'later', cause: error, details: { file: this.where } },
          )
        }
        await this.#runtime.sleep(pollMs)
      }
    }
  }
}

type KeyJson = number | string | { readonly hex: string }

function keysText(keys: readonly SqlValue[]): string {
  return JSON.stringify(
    keys.map((key): KeyJson => {
      if (key instanceof Uint8Array) return { hex: Buffer.from(key).toString('hex') }
      return key as number | string
    }),
  )
}

function keysFrom(text: string): SqlValue[] {
  return (parseJson(text) as KeyJson[]).map((key) => (typeof key === 'object' ? Buffer.from(key.hex, 'hex') : key))
}
