import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { OnefoldError, optionInvalid } from '../../errors.ts'
import type { DatabaseCard } from '../../guarantee/card.ts'
import type { DatabaseStatus } from '../../inspect/status.ts'
import type { Awaitable } from '../../message.ts'
import type { Runtime } from '../../runtime.ts'
import type { Database, DedupWindow, MaintenanceOptions, Session, Stores, WriteOptions } from '../database.ts'
import { backupDatabase } from './backup.ts'
import { sqliteCard } from './card.ts'
import { SqliteChanges } from './changes.ts'
import type { BetterSqlite3, SqliteConnection } from './connection.ts'
import { connectionBeside, connectionOf, isBetterSqlite3, isNodeSqlite, openNodeSqlite } from './connection.ts'
import { explainError, isBusy } from './errors.ts'
import { Housekeeping } from './housekeeping.ts'
import { walBytes } from './maintenance.ts'
import { movedMark, movedTo } from './moved.ts'
import { checkedPath, configure, migrate } from './open-file.ts'
import { rewrite, truncateLog } from './overwrite.ts'
import { JoinedSession, SqliteSession, SqliteStores } from './session.ts'
import type { SqliteOptions } from './sqlite-options.ts'
import { readStatus } from './status.ts'
import type { SqliteTx } from './transaction-handle.ts'
import { TransactionHandle } from './transaction-handle.ts'
import { WriteQueue } from './write-queue.ts'

const busyOpenMs = 30_000
/** How long the end of others' reading is waited for. */
const truncateLimitMs = 5_000
const checkpointBytes = 4 * 1024 * 1024
const restartBytes = 16 * checkpointBytes

interface Opened {
  readonly runtime: Runtime
  readonly file: string
  readonly reader: SqliteStores
  readonly session: SqliteSession
  readonly queue: WriteQueue<SqliteSession>
  readonly changes: SqliteChanges
  readonly housekeeping: Housekeeping
}

export class SqliteDatabase implements Database<SqliteTx> {
  readonly card: DatabaseCard
  readonly #target: string | SqliteConnection
  readonly #options: Required<SqliteOptions>
  readonly #listeners = new Set<(topics: ReadonlySet<string> | undefined) => void>()
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined
  #writer: SqliteConnection | undefined
  #closed = false
  #broken = false

  constructor(target: string | object, options: SqliteOptions = {}) {
    if (typeof target === 'string' && (target === '' || target === ':memory:' || target.startsWith('file:'))) {
      throw optionInvalid('sqlite(file)', target, 'the name of a file (an in-memory database cannot survive a crash)')
    }
    this.#target = typeof target === 'string' ? resolve(target) : connectionOf(target)
    this.#options = {
      prefix: options.prefix ?? 'onefold_',
      synchronous: options.synchronous ?? 'FULL',
      cacheMiB: options.cacheMiB ?? 64,
      create: options.create ?? true,
    }
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,30}$/.test(this.#options.prefix))
      throw optionInvalid('prefix', options.prefix, '1 to 31 letters, digits or underscores, not starting with a digit')
    if (this.#options.synchronous !== 'FULL' && this.#options.synchronous !== 'NORMAL')
      throw optionInvalid('synchronous', options.synchronous, "'FULL' or 'NORMAL'")
    if (!(this.#options.cacheMiB >= 1 && this.#options.cacheMiB <= 4_096))
      throw optionInvalid('cacheMiB', options.cacheMiB, 'a number from 1 to 4,096')
    this.card = sqliteCard(this.#target, this.#options.synchronous)
  }

  /** Own and other processes' commits. Listeners may register before `open`. */
  readonly changes = {
    onChange: (listener: (topics: ReadonlySet<string> | undefined) => void): Disposable => {
      this.#listeners.add(listener)
      return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
    },
  }

  async open(options: { runtime: Runtime; dedupWindow: DedupWindow }): Promise<void> {
    if (this.#closed) throw new OnefoldError('APP_STOPPED', 'this database was closed; make a new one with sqlite().')
    this.#opening ??= this.#open(options.runtime, options.dedupWindow)
    try {
      this.#opened = await this.#opening
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #open(runtime: Runtime, window: DedupWindow): Promise<Opened> {
    const file = checkedPath(typeof this.#target === 'string' ? this.#target : resolve(this.#target.file))
    const until = runtime.monotonicMs() + busyOpenMs
    for (;;) {
      try {
        const writer = typeof this.#target === 'string' ? openNodeSqlite(file, { readOnly: false }) : this.#target
        try {
          configure(writer, file, this.#options)
          migrate(writer, file, { prefix: this.#options.prefix, runtime })
        } catch (error) {
          if (writer !== this.#target) writer.close()
          throw error
        }
        this.#writer = writer
        break
      } catch (error) {
        if (!isBusy(error) || runtime.monotonicMs() > until) throw explainError(error, file)
        await runtime.sleep(1 + Math.floor(runtime.random() * 10))
      }
    }
    const changes = new SqliteChanges(runtime)
    const stores = { prefix: this.#options.prefix, wallMs: () => runtime.wallMs() }
    const session = new SqliteSession(this.#writer, { ...stores, onCommit: (topics) => changes.committed(topics) })
    const reader = new SqliteStores(this.#openReader(this.#writer), stores)
    changes.onChange((topics) => {
      if (topics === undefined) {
        reader.topics.forget()
        reader.subscriptions.forget()
      }
      for (const listener of this.#listeners) listener(topics)
    })
    changes.open(reader.statements.connection)
    const queue = new WriteQueue<SqliteSession>({
      runtime,
      session,
      connection: () => {
        // A reopening that failed (the disk is still full) is tried again by whoever needs the connection next.
        if (this.#broken) this.#reopen(file)
        return this.#writer as SqliteConnection
      },
      reopen: () => this.#reopen(file),
      onSteady: (steady) => changes.rest(steady),
    })
    const housekeeping = new Housekeeping({ reader, queue, runtime, window })
    // Whoever sealed a generation builds its filter at once: until then every new id has to be looked for in it.
    session.windows.onSealed = () => runtime.defer(() => void housekeeping.buildFilter().catch(() => undefined))
    return { runtime, file, reader, session, queue, changes, housekeeping }
  }

  #openReader(writer: SqliteConnection): SqliteConnection {
    const reader = writer.sibling({ readOnly: false })
    reader.exec('pragma query_only = 1; pragma cache_size = -16384')
    return reader
  }

  /**
   * After a COMMIT whose outcome is unknown, only a new connection knows nothing wrong. The reader stays open until it has
   * a successor: as long as one connection has the log's index, what the failed COMMIT left in the log stays unseen, and the
   * repeat writes over it.
   */
  #reopen(file: string): void {
    const opened = this.#opened
    if (opened === undefined || typeof this.#target !== 'string') {
      opened?.session.rolledBack()
      return
    }
    this.#broken = true
    try {
      this.#writer?.close()
    } catch {
      // It was closed, or beyond it.
    }
    const writer = openNodeSqlite(file, { readOnly: false })
    try {
      configure(writer, file, this.#options)
    } catch (error) {
      writer.close()
      throw error
    }
    const before = opened.reader.statements.connection
    const reader = this.#openReader(writer)
    this.#writer = writer
    opened.session.reopened(writer)
    opened.reader.statements.connection = reader
    opened.reader.forgetAll()
    opened.changes.open(reader)
    before.close()
    this.#broken = false
  }

  write<R>(work: (session: Session<SqliteTx>) => Awaitable<R>, options: WriteOptions): Promise<R> {
    const { queue, file } = this.#ready()
    return queue.run<R>(work, options).catch((error) => {
      throw explainError(error, file)
    })
  }

  async read<R>(work: (stores: Stores) => Awaitable<R>): Promise<R> {
    const { reader, file, runtime } = this.#ready()
    const until = runtime.monotonicMs() + busyOpenMs
    for (;;) {
      try {
        return await work(reader)
      } catch (error) {
        // Only while a crashed writer's log is being recovered.
        if (!isBusy(error) || runtime.monotonicMs() > until) throw explainError(error, file)
        await runtime.sleep(1)
      }
    }
  }

  join<R>(tx: unknown, work: (session: Session<SqliteTx>) => Awaitable<R>): Awaitable<R> {
    const { file, session, reader, changes, runtime } = this.#ready()
    if (tx instanceof TransactionHandle) {
      tx.assertOpen()
      if (tx.isOn(this.#writer)) return work(session)
      throw new OnefoldError('TX_FOREIGN', `tx is a transaction on another database than ${file}: pass it to that one's app.`, {
        details: { file },
      })
    }
    let connection: SqliteConnection
    if (this.#writer?.owns(tx) === true) {
      connection = this.#writer
      session.committedBeside()
    } else if (this.#writer !== undefined && (isNodeSqlite(tx) || isBetterSqlite3(tx))) {
      connection = connectionBeside(this.#writer, tx)
    } else {
      throw new OnefoldError(
        'TX_FOREIGN',
        'tx is not a transaction of this database: pass the tx of app.transaction(), or a node:sqlite or better-sqlite3 handle with a transaction open.',
      )
    }
    if (!connection.inTransaction) {
      throw new OnefoldError(
        'TX_FOREIGN',
        'tx has no transaction open; BEGIN IMMEDIATE first (or use app.transaction()), so that the message commits with your own rows.',
      )
    }
    if (!existsSync(connection.file) || realpathSync(connection.file) !== file) {
      throw new OnefoldError(
        'TX_FOREIGN',
        `tx belongs to ${connection.file}, not to ${file}: a message can only commit with rows of the same file.`,
        { details: { file } },
      )
    }
    const joined = new JoinedSession(connection, {
      prefix: this.#options.prefix,
      wallMs: () => runtime.wallMs(),
      onCommit: (topics) => changes.committed(topics),
    })
    joined.begun()
    // One that looks at an older state cannot see the mark. It cannot write, either; but it is to be told why.
    const moved = movedMark(reader.statements)
    if (moved !== undefined) throw movedTo(file, moved.to)
    return work(joined)
  }

  insideTransaction(): boolean {
    return this.#opened?.queue.inside ?? false
  }

  async maintain(options: MaintenanceOptions): Promise<boolean> {
    const opened = this.#ready()
    this.#checkpoint(opened)
    return opened.housekeeping.step(options)
  }

  /**
   * Moves the log into the database, so that it starts over. Passive: waits for nobody and stops nobody. While commits
   * follow each other the writing connection does it by itself, and pages would only be moved more often.
   */
  #checkpoint({ reader, queue, file }: Opened): void {
    const { connection } = reader.statements
    try {
      const bytes = walBytes(file)
      if (bytes > (queue.steady ? restartBytes : checkpointBytes))
        connection.prepare(`pragma wal_checkpoint(${bytes > restartBytes ? 'restart' : 'passive'})`).get()
    } catch (error) {
      if (!isBusy(error)) throw explainError(error, file)
    }
  }

  async scrub(options: { readonly rewrite: boolean }): Promise<boolean> {
    const { reader, runtime, file } = this.#ready()
    const { connection } = reader.statements
    const until = runtime.monotonicMs() + busyOpenMs
    for (let rewritten = !options.rewrite; !rewritten; ) {
      try {
        rewrite(connection)
        rewritten = true
      } catch (error) {
        if (!isBusy(error) || runtime.monotonicMs() > until) throw explainError(error, file)
        await runtime.sleep(1)
      }
    }
    const cutUntil = runtime.monotonicMs() + truncateLimitMs
    while (!truncateLog(connection)) {
      if (runtime.monotonicMs() > cutUntil) return false
      await runtime.sleep(5)
    }
    return options.rewrite
  }

  async status(): Promise<DatabaseStatus> {
    const { reader, runtime, file } = this.#ready()
    return this.read(() => {
      const { connection } = reader.statements
      // One snapshot, so that the numbers fit together.
      connection.prepare('begin').run()
      try {
        return readStatus(reader, runtime, file)
      } finally {
        connection.prepare('commit').run()
      }
    })
  }

  lockWaits(): readonly number[] {
    return this.#ready().queue.lockWaits.samplesMs
  }

  async backup(
    file: string,
    options: { onProgress?: (done: number, total: number) => void; signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const { runtime, file: source } = this.#ready()
    if (this.#writer !== undefined && isBetterSqlite3Connection(this.#target)) {
      throw new OnefoldError(
        'NOT_POSSIBLE',
        "backup needs node:sqlite: a second SQLite library must not open this file in the same process. Run `onefold backup`, or better-sqlite3's own backup().",
      )
    }
    await backupDatabase({
      source,
      file: resolve(file),
      prefix: this.#options.prefix,
      runtime,
      onProgress: options.onProgress,
      signal: options.signal,
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    const opened = await this.#opening?.catch(() => undefined)
    if (opened === undefined) return
    this.#opening = undefined
    opened.housekeeping.close()
    await opened.queue.settled()
    opened.changes.close()
    opened.reader.statements.connection.close()
    if (typeof this.#target === 'string') this.#writer?.close()
    this.#opened = undefined
  }

  #ready(): Opened {
    if (this.#opened === undefined) throw new OnefoldError('APP_STOPPED', 'the database is not open.', { retry: 'never' })
    return this.#opened
  }
}

function isBetterSqlite3Connection(target: string | SqliteConnection): target is SqliteConnection {
  return typeof target !== 'string' && target.library === 'better-sqlite3'
}

export type { BetterSqlite3 }
