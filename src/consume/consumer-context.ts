import type { Broker } from '../broker/broker.ts'
import type { Database, Session } from '../database/database.ts'
import type { OnefoldError } from '../errors.ts'
import type { AppEvent } from '../event.ts'
import type { Subscription } from '../inbox/inbox-store.ts'
import type { Awaitable, Envelope } from '../message.ts'
import type { Ownership } from '../ownership/ownership.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { Outgoing } from '../publish/outgoing.ts'
import type { Runtime, Watchdog } from '../runtime.ts'
import type { AnyTopic } from '../topic.ts'
import type { PublishInsideOptions } from './consume-options.ts'
import type { ConsumeSettingsChecked } from './settings.ts'
import type { SuspectLock } from './suspect-lock.ts'

/** What the parts of one consumer share. */
export interface ConsumerContext {
  readonly database: Database<unknown>
  readonly broker: Broker
  readonly runtime: Runtime
  readonly ownership: Ownership
  readonly topic: AnyTopic
  readonly subscription: Subscription
  readonly settings: ConsumeSettingsChecked
  /** True when the broker may hand over two messages with one identity: then the inbox must remember each. */
  readonly claims: boolean
  readonly watchdog: Watchdog | undefined
  /** One for all consumers of the process. */
  readonly suspectLock: SuspectLock
  readonly prepare: (topic: AnyTopic, data: unknown, options: PublishInsideOptions) => Awaitable<Envelope>
  /**
   * Sends with the transaction: into the log, or the outbox, in the order given. Answers the first error: an identity
   * that was used before for other data.
   */
  readonly emit: (session: Session<unknown>, outgoing: readonly Outgoing[]) => Awaitable<OnefoldError | undefined>
  readonly report: (event: Omit<AppEvent, 'topic' | 'group'>) => void
}

/** What this process knows about a partition it owns. */
export interface PartitionState {
  readonly partition: string
  readonly lease: Lease
  /** Parked messages have their turns beside the loop: which lanes are held, only the table knows, inside a transaction. */
  readonly turnsBeside: boolean
  /** Lanes that a parked message holds up. Only the owner adds to them. */
  held: ReadonlySet<string>
  /** Something was parked, or may have been, since the loop looked last. A message without a key holds nothing. */
  parkedMore: boolean
  /** Aborts running handlers: taken over, or stopped without drain. */
  readonly handlers: AbortSignal
  /** Nothing new may begin. */
  readonly stopping: AbortSignal
  /** Ends the partition's loop: something beside it cannot go on. */
  fail(error: unknown): void
}
