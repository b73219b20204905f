import { isOnefoldError, OnefoldError } from '../../errors.ts'
import type { Awaitable } from '../../message.ts'
import type { OpenTx, Session, Stores } from '../database.ts'
import { PostgresAttentionStore } from './attention-store.ts'
import { PostgresCallStore } from './call-store.ts'
import type { Execute } from './client.ts'
import { PostgresCronStore } from './cron-store.ts'
import { PostgresEraseStore } from './erase-store.ts'
import {
  explainError,
  isAborted,
  isConflict,
  isConnectionLost,
  isLockTimeout,
  isOutsideTransaction,
  sqlState,
  transactionEnded,
} from './errors.ts'
import { PostgresGroupStore } from './group-store.ts'
import { PostgresCheckpointStore, PostgresInboxStore } from './inbox-store.ts'
import type { StoreContext } from './known.ts'
import { Known } from './known.ts'
import { PostgresLogStore } from './log-store.ts'
import type { OpenStatements } from './open-statements.ts'
import { PostgresOutboxStore } from './outbox-store.ts'
import { PostgresOwnershipStore } from './ownership-store.ts'
import { PostgresParkedStore, PostgresStartMarkStore } from './parked-store.ts'
import { PostgresScheduleStore } from './schedule-store.ts'
import { Sql } from './sql.ts'
import { Subscriptions } from './subscriptions.ts'
import { PostgresTopicStore } from './topic-store.ts'
import { Windows } from './windows.ts'

export interface StoresOptions {
  /** Quoted. */
  readonly schema: string
  readonly where: string
  readonly known: Known
  readonly wallMs: () => number
  readonly relaxedOffsets: boolean
  /** Of the server, when the transaction began. */
  readonly life?: string | undefined
  readonly xid?: string | undefined
  readonly open?: OpenStatements | undefined
}

/** All stores over one way to execute statements: a transaction, or any connection for reading what is committed. */
export class PostgresStores implements Stores {
  readonly context: StoreContext
  readonly topics: PostgresTopicStore
  readonly groups: PostgresGroupStore
  readonly log: PostgresLogStore
  readonly inbox: PostgresInboxStore
  readonly checkpoints: PostgresCheckpointStore
  readonly outbox: PostgresOutboxStore
  readonly schedule: PostgresScheduleStore
  readonly ownership: PostgresOwnershipStore
  readonly parked: PostgresParkedStore
  readonly startMarks: PostgresStartMarkStore
  readonly attention: PostgresAttentionStore
  readonly calls: PostgresCallStore
  readonly cron: PostgresCronStore
  readonly erasures: PostgresEraseStore

  constructor(execute: Execute, { schema, known, wallMs, relaxedOffsets, life, xid, open }: StoresOptions, made = new Known()) {
    const context: StoreContext = {
      sql: new Sql(execute, schema),
      known,
      made,
      touched: new Set(),
      wallMs,
      relaxedOffsets,
      life,
      xid,
      open,
    }
    this.context = context
    const subscriptions = new Subscriptions(context)
    const windows = new Windows(context)
    this.topics = new PostgresTopicStore(context, windows)
    this.groups = new PostgresGroupStore(context, subscriptions)
    this.log = new PostgresLogStore(context, this.topics, windows)
    this.inbox = new PostgresInboxStore(context, subscriptions, windows)
    this.checkpoints = new PostgresCheckpointStore(context, subscriptions)
    this.outbox = new PostgresOutboxStore(context)
    this.schedule = new PostgresScheduleStore(context, this.topics, this.log)
    this.ownership = new PostgresOwnershipStore(context)
    this.parked = new PostgresParkedStore(context, subscriptions)
    this.startMarks = new PostgresStartMarkStore(context, subscriptions)
    this.attention = new PostgresAttentionStore(context, subscriptions)
    this.calls = new PostgresCallStore(context, subscriptions)
    this.cron = new PostgresCronStore(context)
    this.erasures = new PostgresEraseStore(context)
  }
}

/** After this many savepoints other sessions of the server begin to pay for them: https://www.postgresql.org/docs/current/subxacts.html */
const mostSavepoints = 50

/**
 * Something failed in a batch that ran without savepoints: all of it is undone, and runs again with them. For everybody on the way
 * it is trouble of the database: no message's fault, and no attempt of it.
 */
export class RunWithSavepoints extends OnefoldError {
  constructor(cause: unknown) {
    super('DATABASE_BUSY', 'a message failed; the batch runs again with savepoints.', { retry: 'now', cause })
  }
}

export type HandsOut<Tx> = () => OpenTx<Tx>

export interface SessionOptions<Tx> extends StoresOptions {
  readonly openTx: HandsOut<Tx>
  /** Where a handler may have ended the transaction. @throws OnefoldError `TRANSACTION_ENDED` */
  readonly verify?: (() => Promise<void>) | undefined
  /** Where `tx` remembers what it has read and is to write: a savepoint was undone. */
  readonly forget?: (() => void) | undefined
  /** Statements are executed in the order of the calls, also those of handlers, without being waited for. */
  readonly inOrder: boolean
  /** False: a failure of `savepoint` throws `RunWithSavepoints`. */
  readonly savepoints: boolean
  /** Messages that may share this transaction. */
  readonly mostMessages: number
}

/** One open transaction. */
export class PostgresSession<Tx> extends PostgresStores implements Session<Tx> {
  readonly #execute: Execute
  readonly #where: string
  readonly #savepoints: boolean
  readonly #inOrder: boolean
  readonly #verify: (() => Promise<void>) | undefined
  readonly #forget: (() => void) | undefined
  readonly openTx: HandsOut<Tx>
  readonly #mostMessages: number
  #ran = 0
  /** The last savepoint that was released, or could not be. */
  #released: Promise<void> | undefined

  constructor(execute: Execute, options: SessionOptions<Tx>) {
    super(execute, options)
    this.#execute = execute
    this.#where = options.where
    this.#savepoints = options.savepoints
    this.#inOrder = options.inOrder
    this.#verify = options.verify
    this.#forget = options.forget
    this.#mostMessages = options.savepoints ? Math.min(mostSavepoints, options.mostMessages) : options.mostMessages
    this.openTx = options.openTx
  }

  get full(): boolean {
    return this.#ran >= this.#mostMessages
  }

  /** Messages that have begun. */
  get ran(): number {
    return this.#ran
  }

  async savepoint<R>(work: () => Awaitable<R>): Promise<R> {
    this.#ran++
    if (!this.#savepoints) return this.#without(work)
    // A failure that the handler before has swallowed is not the next one's.
    await this.#released
    // Where what `work` does comes after it on the same connection, it is not waited for.
    const begun = this.#execute('savepoint onefold')
    begun.catch(() => undefined)
    if (!this.#inOrder) await begun
    let result: R
    try {
      result = await work()
    } catch (error) {
      this.#forget?.()
      await this.#undo(error)
      throw error
    }
    const released = Promise.all([begun, this.#execute('release savepoint onefold')]).then(
      () => undefined,
      (error) => {
        throw this.#ended(error)
      },
    )
    const { open } = this.context
    if (this.#inOrder && open !== undefined) {
      this.#released = released
      open.hear(released)
    } else await released
    return result
  }

  async #without<R>(work: () => Awaitable<R>): Promise<R> {
    try {
      const result = await work()
      // What the next handler writes would be in no transaction.
      await this.#verify?.()
      return result
    } catch (error) {
      if (isOnefoldError(error, 'TRANSACTION_ENDED')) throw error
      // Whose fault it is shows when fewer share a transaction.
      if (isConflict(error) || isLockTimeout(error)) throw explainError(error, this.#where)
      throw new RunWithSavepoints(error)
    }
  }

  /** Only what this connection says counts: a handler may talk to other servers, and fail there. */
  async #undo(cause: unknown): Promise<void> {
    try {
      // Two transactions that met are nobody's fault: all of it goes again.
      if (isConflict(cause) && (await this.#failed())) throw explainError(cause, this.#where)
      await this.#execute('rollback to savepoint onefold')
      await this.#execute('release savepoint onefold')
      // What was made since is gone, and may be remembered.
      this.context.made.clear()
    } catch (error) {
      throw this.#ended(error, cause)
    }
  }

  /** Has a statement failed in this transaction? */
  async #failed(): Promise<boolean> {
    try {
      await this.#execute('select 1')
      return false
    } catch (error) {
      if (isAborted(error)) return true
      throw error
    }
  }

  /** What ending a savepoint failed with tells what became of the transaction. */
  #ended(error: unknown, cause: unknown = error): unknown {
    if (isConnectionLost(error)) return explainError(error, this.#where)
    // No such savepoint (3B001), no transaction, or one in which a statement has failed.
    if (sqlState(error) === '3B001' || isOutsideTransaction(error) || isAborted(error)) return transactionEnded(cause)
    return explainError(error, this.#where)
  }
}
