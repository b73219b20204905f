import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach } from 'vitest'
import type { SqliteOptions, SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, AppEvent, OnefoldOptions } from '../../src/index.ts'
import { onefold } from '../../src/index.ts'

const folders: string[] = []
const apps = new Set<App<unknown>>()
const readers = new Set<DatabaseSync>()

afterEach(async () => {
  for (const app of apps) await app.stop({ drainMs: 0 })
  apps.clear()
  for (const reader of readers) reader.close()
  readers.clear()
})

afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A folder that is gone when the test file has ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-test-'))
  folders.push(folder)
  return folder
}

/** Stops the app after the test, whatever became of it. */
export function stopAfterwards<Tx>(app: App<Tx>): App<Tx> {
  apps.add(app as App<unknown>)
  return app
}

type FileAppOptions = Partial<OnefoldOptions<SqliteTx>> & { readonly sqlite?: SqliteOptions }

/** A database file of its own, the apps opened on it, and a look at its tables that does not go through Onefold. */
export class TemporaryFile {
  readonly path: string
  readonly events: AppEvent[] = []
  #reader: DatabaseSync | undefined

  constructor(tables = 'create table effect (id text, value integer)', path = join(temporaryFolder(), 'app.db')) {
    this.path = path
    if (tables !== '') this.exec(`pragma journal_mode = wal; ${tables}`)
  }

  app(options: FileAppOptions = {}): App<SqliteTx> {
    const { sqlite: sqliteOptions, ...rest } = options
    const onEvent = (event: AppEvent): void => void this.events.push(event)
    return stopAfterwards(onefold({ database: sqlite(this.path, sqliteOptions), onEvent, ...rest }))
  }

  exec(sql: string): void {
    this.#open().exec(sql)
  }

  rows<R = Record<string, unknown>>(sql: string, ...params: (string | number)[]): R[] {
    return this.#open()
      .prepare(sql)
      .all(...params)
      .map((row) => ({ ...row })) as R[]
  }

  /** The only column of the rows. */
  column<T = string>(sql: string, ...params: (string | number)[]): T[] {
    return this.rows<Record<string, T>>(sql, ...params).map((row) => Object.values(row)[0] as T)
  }

  /** Effects in the order they were written. */
  effects(): string[] {
    return this.column('select id from effect order by rowid')
  }

  #open(): DatabaseSync {
    if (this.#reader === undefined || !this.#reader.isOpen) {
      this.#reader = new DatabaseSync(this.path, { timeout: 5_000 })
      readers.add(this.#reader)
    }
    return this.#reader
  }
}
