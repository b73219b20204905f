import type { AttentionStore } from '../attention/attention-store.ts'
import type { CallStore } from '../calls/call-store.ts'
import type { ParkedStore, StartMarkStore } from '../consume/parked-store.ts'
import type { EraseStore } from '../erase/erase-store.ts'
import type { OnefoldError } from '../errors.ts'
import type { AppEvent } from '../event.ts'
import type { DatabaseCard } from '../guarantee/card.ts'
import type { CheckpointStore, InboxStore, Subscription } from '../inbox/inbox-store.ts'
import type { DatabaseStatus } from '../inspect/status.ts'
import type { Awaitable, Delivery, Envelope } from '../message.ts'
import type { OutboxStore } from '../outbox/outbox-store.ts'
import type { Lease, OwnershipStore } from '../ownership/ownership-store.ts'
import type { Runtime } from '../runtime.ts'
import type { CronStore, ScheduleStore } from '../schedule/schedule-store.ts'
import type { AnyTopic } from '../topic.ts'

/** What the database has fixed about a topic. */
export interface TopicRecord {
  readonly name: string
  readonly partitions: number
  /** Undefined while only tools that know the topic by name have used it. */
  readonly keyed: boolean | undefined
  readonly idReuse: 'error' | 'ignore'
}

export interface TopicStore {
  /** Registers the topic, or checks it against what is fixed. @throws OnefoldError `TOPIC_CHANGED`. */
  declare(topic: AnyTopic): Awaitable<TopicRecord>
  get(name: string): Awaitable<TopicRecord | undefined>
  /** Raises the partition count or changes what else is fixed. Refused unless every group has drained the topic. */
  change(name: string, change: { partitions?: number; keyed?: boolean; idReuse?: 'error' | 'ignore' }): Awaitable<TopicRecord>
}

/** What went with a group. */
export interface RemovedGroup {
  /** Messages that were to be attempted later, or waited behind such a one. */
  readonly parked: number
  /** Messages that waited for a person. */
  readonly attention: number
  /** Rounds of external calls in the journal, done or not. */
  readonly calls: number
  /** Failed attempts kept with messages. */
  readonly attempts: number
}

export interface GroupStore {
  /** Groups are durable: a group once declared keeps its place until somebody removes it. */
  declare(subscription: Subscription, options: { startFrom: 'earliest' | 'latest'; semantics: string }): Awaitable<void>
  /** Removes a group with all that is kept for it. Refused while a process consumes it. */
  remove(subscription: Subscription): Awaitable<RemovedGroup>
  /** Adds to the durable counter of commits refused by the fence. */
  countFenced(subscription: Subscription): Awaitable<void>
}

/** An error where this message alone cannot be taken (`GAPS_EXCEEDED`). */
export type AppendStatus = 'accepted' | 'duplicate' | 'id-reused' | OnefoldError

/** The in-database broker's storage: one ordered log per partition. */
export interface LogStore {
  /** Identity check and record are one statement each; the answers are in the order given. */
  append(topic: TopicRecord, envelopes: readonly Envelope[]): Awaitable<readonly AppendStatus[]>
  /** Committed messages with an offset above `after`, in order; at most `limit` messages and about `maxBytes` bytes. */
  read(topic: string, partition: string, after: bigint, limit: number, maxBytes: number): Awaitable<readonly Delivery[]>
  /** The last offset given in a partition; 0 when there is none yet. */
  head(topic: string, partition: string): Awaitable<bigint>
}

/** The stores, usable inside one transaction (`Session`) or for reading what is committed (`Reader`). */
export interface Stores {
  readonly topics: TopicStore
  readonly groups: GroupStore
  readonly log: LogStore
  readonly inbox: InboxStore
  readonly checkpoints: CheckpointStore
  readonly outbox: OutboxStore
  readonly schedule: ScheduleStore
  readonly ownership: OwnershipStore
  readonly parked: ParkedStore
  readonly startMarks: StartMarkStore
  readonly attention: AttentionStore
  readonly calls: CallStore
  readonly cron: CronStore
  readonly erasures: EraseStore
}

export interface OpenTx<Tx> {
  readonly tx: Tx
  close(): void
  /** Where `tx` collects what a handler changes: writes it. To be called when the handler has ended; what it throws is the handler's. */
  finish?(): Promise<void>
}

/** One open transaction. */
export interface Session<Tx> extends Stores {
  /**
   * Hands out the user's handle. `close` revokes it: any later use throws `TX_CLOSED` and does nothing, so a write whose
   * `await` was forgotten cannot slip into somebody else's transaction.
   */
  openTx(): OpenTx<Tx>
  /** All or nothing for `work`, inside the transaction. @throws `TRANSACTION_ENDED` when user SQL ended the transaction. */
  savepoint<R>(work: () => Awaitable<R>): Awaitable<R>
  /** True: this transaction has as many savepoints as are good for the database; what is done should be committed before more is. */
  readonly full?: boolean
}

export interface WriteOptions {
  /** Not to share the commit with other work of this process (user code that must not run twice). */
  readonly alone?: boolean
  /**
   * It makes many savepoints of its own and gets none around it: an outer one would keep a copy of every page they touch
   * until it ends. When such work fails, its neighbours in the same commit run again.
   */
  readonly nested?: boolean
  /** `openTx` will be called: where the user's client has transactions of its own, it is to be one of those. */
  readonly handsOutTx?: boolean
  /** It waits for no other work of this process, where that is possible: a heartbeat. */
  readonly urgent?: boolean
  /**
   * Asked first, of this session: `ownership.guard(lease)` and then `checkpoints.get(subscription, partition)`. A database that is far
   * away can be asked sooner.
   */
  readonly under?: { readonly lease: Lease; readonly subscription: Subscription; readonly partition: string }
  /** How long the handler may take: no statement of the transaction need go on for longer. */
  readonly timeoutMs?: number
  /** Stops waiting for the lock; work that has begun is not interrupted. */
  readonly signal?: AbortSignal | undefined
  /** What is being written, for the error when the wait for the lock ends: 'publish', 'apply payments/ledger'. */
  readonly what: string
}

/** Tells that something was committed, by this process or another. Spurious wake-ups are allowed, missed ones are not. */
export interface Changes {
  /**
   * `listener` gets what was touched when it is known (own commits), else undefined: `topic/partition` where messages came into a
   * partition and no more is known to have changed, `topic` for anything else about it, such as what is parked.
   */
  onChange(listener: (topics: ReadonlySet<string> | undefined) => void): Disposable
}

export interface MaintenanceOptions {
  readonly nowMs: number
  /** Told what housekeeping came upon: a dedup window that has become shorter than configured. */
  readonly report?: (event: AppEvent) => void
}

export interface DatabaseOpenOptions {
  readonly runtime: Runtime
  readonly dedupWindow: DedupWindow
  /** True: offsets of the log are stored elsewhere, so each must be on disk before it is handed out. */
  readonly offsetsLeave?: boolean
}

/** Where effects commit. Constructors touch nothing; `open` refuses what cannot keep the promise. */
export interface Database<Tx, Joined = unknown> {
  /** For the compiler only: what `join` takes, as far as types tell. */
  readonly '~joined'?: Joined
  readonly card: DatabaseCard
  readonly changes: Changes
  open(options: DatabaseOpenOptions): Promise<void>
  close(): Promise<void>
  /**
   * Runs `work` in a transaction and resolves after COMMIT. Work of several callers may share one commit; each is all or
   * nothing, and `work` may run again when a neighbour broke the shared transaction. A rejection means that nothing of
   * `work` was committed, except `COMMIT_UNKNOWN`: repeat with the same identities.
   */
  write<R>(work: (session: Session<Tx>) => Awaitable<R>, options: WriteOptions): Promise<R>
  /**
   * `log.append` in a transaction of its own, by a shorter way, where the database has one. Undefined: it has none for these messages, and
   * nothing was written. Errors as `write` has them.
   */
  appendAtOnce?(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly AppendStatus[] | undefined>
  /** Reads what is committed; never waits for writers. */
  read<R>(work: (stores: Stores) => Awaitable<R>): Promise<R>
  /** Runs `work` in the caller's own open transaction. @throws OnefoldError `TX_FOREIGN` when it is not one on this database. */
  join<R>(tx: unknown, work: (session: Session<Tx>) => Awaitable<R>): Awaitable<R>
  /** True when the code asking runs inside a transaction that this process has open (and so would wait for itself). */
  insideTransaction(): boolean
  /** One bounded step of housekeeping; true when there is more to do now. */
  maintain(options: MaintenanceOptions): Promise<boolean>
  /**
   * Cuts the log of recent changes, so that what was deleted is no longer in it. With `rewrite` writes the whole database anew
   * before that, which holds up all writers as long as it takes. True: nothing of what was deleted is left in its files. False
   * without `rewrite`, or when somebody was reading an older state all the while.
   */
  scrub(options: { readonly rewrite: boolean }): Promise<boolean>
  status(): Promise<DatabaseStatus>
  /** Copies the whole database, consistently and while it is in use, to a new file; the copy is a new incarnation. */
  backup(
    file: string,
    options?: { onProgress?: (done: number, total: number) => void; signal?: AbortSignal | undefined },
  ): Promise<void>
}

/** How long, and how many, identities are remembered. */
export interface DedupWindow {
  readonly ms: number
  readonly maxIds: number
  /**
   * False: defaults of a process that was not told; they make no window smaller that another process was told to keep.
   * Default false.
   */
  readonly stated?: boolean
}
