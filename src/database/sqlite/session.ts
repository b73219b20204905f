import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import type { Session, Stores } from '../database.ts'
import { SqliteAttentionStore } from './attention-store.ts'
import { SqliteCallStore } from './call-store.ts'
import type { SqliteConnection } from './connection.ts'
import { SqliteCronStore } from './cron-store.ts'
import { SqliteEraseStore } from './erase-store.ts'
import { transactionEnded } from './errors.ts'
import { SqliteGroupStore } from './group-store.ts'
import { IdentityWindows } from './identity-windows.ts'
import { SqliteCheckpointStore, SqliteInboxStore } from './inbox-store.ts'
import { SqliteLogStore } from './log-store.ts'
import { movedMark, movedTo } from './moved.ts'
import { SqliteOutboxStore } from './outbox-store.ts'
import { SqliteOwnershipStore } from './ownership-store.ts'
import { SqliteParkedStore, SqliteStartMarkStore } from './parked-store.ts'
import { PartitionHeads } from './partition-heads.ts'
import { SqliteScheduleStore } from './schedule-store.ts'
import { Statements } from './statements.ts'
import { Subscriptions } from './subscriptions.ts'
import { SqliteTopicStore } from './topic-store.ts'
import type { SqliteTx } from './transaction-handle.ts'
import { TransactionHandle } from './transaction-handle.ts'
import type { QueueSession } from './write-queue.ts'

/** All stores over one connection. Outside a transaction they read what is committed. */
export class SqliteStores implements Stores {
  readonly statements: Statements
  readonly windows: IdentityWindows
  readonly heads: PartitionHeads
  readonly subscriptions: Subscriptions
  /** Topics that got messages in this transaction. */
  readonly touched = new Set<string>()
  readonly topics: SqliteTopicStore
  readonly groups: SqliteGroupStore
  readonly log: SqliteLogStore
  readonly inbox: SqliteInboxStore
  readonly checkpoints: SqliteCheckpointStore
  readonly outbox: SqliteOutboxStore
  readonly schedule: SqliteScheduleStore
  readonly ownership: SqliteOwnershipStore
  readonly parked: SqliteParkedStore
  readonly startMarks: SqliteStartMarkStore
  readonly attention: SqliteAttentionStore
  readonly calls: SqliteCallStore
  readonly cron: SqliteCronStore
  readonly erasures: SqliteEraseStore

  constructor(connection: SqliteConnection, options: { prefix: string; wallMs: () => number }) {
    const { wallMs } = options
    this.statements = new Statements(connection, options.prefix)
    this.windows = new IdentityWindows(this.statements, wallMs)
    this.heads = new PartitionHeads(this.statements)
    this.subscriptions = new Subscriptions(this.statements)
    this.topics = new SqliteTopicStore(this.statements)
    this.groups = new SqliteGroupStore(this.statements, this.subscriptions, this.windows, wallMs)
    this.log = new SqliteLogStore({
      statements: this.statements,
      topics: this.topics,
      windows: this.windows,
      heads: this.heads,
      touched: this.touched,
      wallMs,
      appended: () => this.appended(),
    })
    this.inbox = new SqliteInboxStore(this.statements, this.subscriptions, this.windows)
    this.checkpoints = new SqliteCheckpointStore(this.statements, this.subscriptions)
    this.outbox = new SqliteOutboxStore(this.statements, wallMs)
    this.schedule = new SqliteScheduleStore(this.statements, this.topics, this.log, this.touched)
    this.ownership = new SqliteOwnershipStore(this.statements)
    this.parked = new SqliteParkedStore(this.statements, this.subscriptions)
    this.startMarks = new SqliteStartMarkStore(this.statements, this.subscriptions)
    this.attention = new SqliteAttentionStore(this.statements, this.subscriptions, this.touched)
    this.calls = new SqliteCallStore(this.statements, this.subscriptions)
    this.cron = new SqliteCronStore(this.statements)
    this.erasures = new SqliteEraseStore(this.statements, this.touched)
  }

  appended(): void {}

  forgetAll(): void {
    this.topics.forget()
    this.subscriptions.forget()
    this.windows.rolledBack()
    this.heads.clear()
    this.touched.clear()
  }
}

export class SqliteSession extends SqliteStores implements Session<SqliteTx>, QueueSession {
  readonly #checkedSql = new Set<string>()
  readonly #onCommit: (topics: ReadonlySet<string> | undefined) => void
  #dataVersion = -1
  #movedTo: string | undefined
  /** Did anybody else commit between our last transaction and this one? */
  othersCommitted = false

  constructor(
    connection: SqliteConnection,
    options: {
      prefix: string
      wallMs: () => number
      /** Without topics: others have committed as well. */
      onCommit: (topics: ReadonlySet<string> | undefined) => void
    },
  ) {
    super(connection, options)
    this.#onCommit = options.onCommit
  }

  openTx(): { readonly tx: SqliteTx; close(): void } {
    const tx = new TransactionHandle(this.statements.connection, this.#checkedSql)
    return { tx, close: () => tx.revoke() }
  }

  /** A transaction of the user's own on this very connection: its COMMIT is one that `data_version` does not tell of. */
  committedBeside(): void {
    this.#dataVersion = -1
  }

  begun(): void {
    const version = this.statements.connection.prepare('pragma data_version').get<{ data_version: number }>()?.data_version ?? 0
    if (version === this.#dataVersion) {
      this.othersCommitted = false
      this.#refuseIfMoved()
      return
    }
    // The first look at a connection tells nothing about others.
    this.othersCommitted = this.#dataVersion !== -1
    this.#dataVersion = version
    this.topics.forget()
    this.subscriptions.forget()
    this.windows.refresh()
    // Only others seal a file, and our lock keeps them from it until we are done: no look is needed where nobody has committed.
    this.#movedTo = movedMark(this.statements)?.to
    this.#refuseIfMoved()
  }

  #refuseIfMoved(): void {
    if (this.#movedTo !== undefined) throw movedTo(this.statements.connection.file, this.#movedTo)
  }

  flush(): void {
    this.heads.flush()
    this.windows.flush()
  }

  committed(): void {
    this.windows.committed()
    this.heads.clear()
    const topics = new Set(this.touched)
    if (topics.size > 0) this.touched.clear()
    this.#onCommit(this.othersCommitted ? undefined : topics)
  }

  rolledBack(): void {
    this.forgetAll()
  }

  /** A new connection has taken the place of one that failed. */
  reopened(connection: SqliteConnection): void {
    this.statements.connection = connection
    this.#dataVersion = -1
    this.forgetAll()
  }

  savepoint<R>(work: () => Awaitable<R>): Awaitable<R> {
    this.statements.connection.prepare('savepoint onefold').run()
    const mark = this.heads.mark()
    let result: Awaitable<R>
    try {
      result = work()
    } catch (error) {
      this.#undo(mark, error)
      throw error
    }
    if (!isThenable(result)) {
      this.#release(mark)
      return result
    }
    return result.then(
      (value) => {
        this.#release(mark)
        return value
      },
      (error) => {
        this.#undo(mark, error)
        throw error
      },
    )
  }

  #release(mark: number): void {
    const { connection } = this.statements
    if (connection.inTransaction) {
      try {
        connection.prepare('release onefold').run()
        return
      } catch (error) {
        // No such savepoint: the transaction we are in is not the one we began.
        try {
          connection.prepare('rollback').run()
        } catch {
          // Nothing left to roll back.
        }
        throw transactionEnded(error)
      }
    }
    this.heads.undoTo(mark)
    throw transactionEnded(undefined)
  }

  #undo(mark: number, cause: unknown): void {
    const { connection } = this.statements
    if (!connection.inTransaction) throw transactionEnded(cause)
    try {
      connection.prepare('rollback to onefold').run()
      connection.prepare('release onefold').run()
    } catch {
      try {
        connection.prepare('rollback').run()
      } catch {
        // Nothing left to roll back.
      }
      throw transactionEnded(cause)
    }
    this.heads.undoTo(mark)
    this.topics.forget()
    this.subscriptions.forget()
    this.windows.savepointRolledBack()
  }
}

/** In a transaction that its owner commits, at a moment we do not learn of: nothing is kept in memory. */
export class JoinedSession extends SqliteSession {
  override appended(): void {
    this.flush()
  }
}
