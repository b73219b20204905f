import type { Attention } from './attention/attention.ts'
import type { AttentionItem } from './attention/attention-store.ts'
import type { Broker } from './broker/broker.ts'
import type { ApplyContext, Calls, ConsumeOptions, PublishInside } from './consume/consume-options.ts'
import type { Database, RemovedGroup } from './database/database.ts'
import type { EraseOptions, EraseResult } from './erase/eraser.ts'
import type { AppEvent } from './event.ts'
import type { Guarantee } from './guarantee/guarantee.ts'
import type { DatabaseStatus } from './inspect/status.ts'
import type { Awaitable, Receipt } from './message.ts'
import type { PublishManyItem, PublishOptions } from './publish/publish-options.ts'
import type { Runtime } from './runtime.ts'
import type { ScheduleOptions } from './schedule/schedule-options.ts'
import type { AnyTopic, Topic } from './topic.ts'

export interface OnefoldOptions<Tx, Joined = unknown> {
  readonly database: Database<Tx, Joined>
  /** Default: the database itself. */
  readonly broker?: Broker
  /** Names this application as the source of what it publishes. Default: the topic's name. Never a host or process id. */
  readonly source?: string
  readonly runtime?: Runtime
  /** How long a silent owner keeps its partitions: 200 ms to 10 min, default 10 s. Decides when, never whether, it is safe. */
  readonly leaseMs?: number
  /**
   * Identities remembered per topic or group: `ms` from 1 min, default 7 days; `maxIds` from 1,000, default 10,000,000. What
   * comes again later is published again, or, with a group whose broker may hold duplicates, waits for a person
   * (`MESSAGE_LATE`). Left out, it is never less than what another process was told for the same file. `start()` refuses
   * windows shorter than a message's attempts can last.
   */
  readonly dedupWindow?: { readonly ms?: number; readonly maxIds?: number }
  /** Messages waiting in memory to be published: 1 to 1,000,000, default 100,000. */
  readonly maxQueuedMessages?: number
  /** Bytes of JSON waiting in memory to be published: default 64 MiB. */
  readonly maxQueuedBytes?: number
  /** Told about what goes on in the background: attempts that failed, fenced commits, a full disk. Never throws into the app. */
  readonly onEvent?: (event: AppEvent) => void
  /**
   * Told about each message that comes to wait for a person in this process, after the commit, once. What it throws goes nowhere.
   * A hint: a process that dies just then tells nothing. `app.attention.list()` tells all, whichever process it was.
   */
  readonly onAttention?: (item: AttentionItem) => unknown
}

export interface App<Tx, Joined = unknown> extends AsyncDisposable {
  /** Declares a consumer. Call before `start()`. @throws OnefoldError `APP_STARTED`, `OPTION_INVALID`. */
  consume<I, D, E extends Calls<D> = Record<never, never>>(topic: Topic<I, D>, options: ConsumeOptions<Tx, D, E>): void
  consume<I, D>(
    topic: Topic<I, D>,
    group: string,
    apply: (data: D, context: ApplyContext<Tx, D, Record<never, never>>) => unknown,
  ): void
  /**
   * Declares that a message is published at every instant of a cron pattern: once for each, however many processes have the
   * schedule, and whichever of them is killed. Call before `start()`; every started process takes part, whatever its groups.
   * The message's id is `NAME@INSTANT`; its headers `onefold-schedule` and `onefold-scheduled-for` say the same.
   * A schedule seen for the first time begins now; a changed pattern goes on from the instant decided last.
   *
   * @throws OnefoldError `APP_STARTED`, `OPTION_INVALID` (a pattern that cannot be read: at `start()`).
   * @example
   * app.schedule(reports, { name: 'weekday', cron: '0 9 * * 1-5', timeZone: 'Europe/Berlin', data: { kind: 'sales' } })
   */
  schedule<I, D>(topic: Topic<I, D>, options: ScheduleOptions<I>): void
  /**
   * Resolves once the message is durable. Works without `start()`.
   * With `tx` it joins the caller's open transaction and answers 'staged'.
   */
  publish<I, D>(topic: Topic<I, D>, data: NoInfer<I>, options?: PublishOptions & { readonly tx?: Joined }): Promise<Receipt>
  /**
   * Many at once, in order, sharing commits. Not one transaction: each message has its own receipt.
   * @throws PublishIncompleteError `PUBLISH_INCOMPLETE` when some were refused; its `results` tell about each.
   */
  publishMany<I, D>(
    topic: Topic<I, D>,
    items: readonly PublishManyItem<I>[],
    options?: { readonly tx?: Joined; readonly signal?: AbortSignal },
  ): Promise<Receipt[]>
  /** A transaction of the caller's own on the same database, with publish. It is never run twice. */
  transaction<R>(work: (context: { tx: Tx; publish: PublishInside }) => Awaitable<R>): Promise<R>
  /** Opens the database and starts the consumers; resolves when they run. `groups`: only these. */
  start(options?: { readonly groups?: readonly string[] }): Promise<void>
  /** Resolves when the consumers started here have nothing left to do now: all applied, or waiting for a person. */
  idle(options?: { readonly signal?: AbortSignal }): Promise<void>
  pause(group: string): void
  resume(group: string): void
  /** Finishes what has begun (up to `drainMs`, default 30 s), hands partitions over cleanly and closes. */
  stop(options?: { readonly drainMs?: number }): Promise<void>
  /** What waits for a person, and what a person can do about it. */
  readonly attention: Attention
  readonly groups: {
    list(): Promise<DatabaseStatus['groups']>
    remove(topic: string, group: string): Promise<RemovedGroup>
  }
  readonly topics: {
    change(name: string, change: { partitions?: number; keyed?: boolean; idReuse?: 'error' | 'ignore' }): Promise<void>
  }
  /**
   * Takes the data of all messages of a key out of a topic, wherever this database has it: log, parked messages, attention,
   * revisions, outbox, what is published for later, and what calls have answered. Their ids stay, so that a late repeat is
   * still a duplicate, and their places, so that order and checkpoints hold; what no group has applied yet never is. Works
   * without `start()`. Meant for personal data: see docs/erasing.md for what it cannot reach.
   *
   * A handler that has the message in its hands at this moment may still apply it. Erasing again is harmless, and how an
   * erasure that was interrupted is finished.
   *
   * @throws OnefoldError `OPTION_INVALID`, `MESSAGE_INVALID` (the key), `NOT_FOUND` (no such topic).
   */
  erase(topic: string | AnyTopic, options: EraseOptions): Promise<EraseResult>
  status(): Promise<DatabaseStatus>
  backup(
    file: string,
    options?: { readonly onProgress?: (done: number, total: number) => void; readonly signal?: AbortSignal },
  ): Promise<void>
  /**
   * What holds for this app as it is configured, what does not, and which line of configuration weakens it: composed from the
   * cards of database, broker and calls. Opens nothing. `refusals` says why `start()` would throw.
   */
  explain(): Guarantee
  /** The topics and groups this app consumes. */
  readonly consumers: readonly { readonly topic: AnyTopic; readonly group: string }[]
}
