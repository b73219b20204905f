import type { OnefoldError } from '../errors.ts'
import type { Awaitable, Envelope } from '../message.ts'

/** One consumer group of one topic. */
export interface Subscription {
  readonly topic: string
  readonly group: string
}

/**
 * 'too-old': new to what is remembered, but published before something that was forgotten: it may have been received then.
 * Recorded like a new one. An error where this message alone cannot be recorded (`GAPS_EXCEEDED`), or has the number of another
 * (`ID_REUSED`): it needs a person.
 */
export type ClaimStatus = 'new' | 'seen' | 'id-reused' | 'too-old' | OnefoldError

export interface InboxStore {
  /**
   * Records the identities as received by this subscription and says, in the order given, which are new: check and
   * record are one statement. It commits or rolls back with the effect. Within one call a repeated identity is 'seen'.
   *
   * A message that an outbox has numbered (`outboxNumberOf`) is known by that number as well, for ever and whatever became of it: the
   * window may have forgotten its id. Two rows with one id are two numbers and one identity, received once.
   */
  claim(subscription: Subscription, envelopes: readonly Envelope[]): Awaitable<readonly ClaimStatus[]>
  /**
   * Where several transactions claim at a time: these are going to be claimed in this one, part by part. What all of them will lock is
   * locked now, in one order, so that two batches do not wait for each other in a circle.
   */
  lockSets?(subscription: Subscription, envelopes: readonly Envelope[]): Awaitable<void>
  /** A message published up to this time may have been received and forgotten. Undefined: nothing was. */
  forgottenMs(subscription: Subscription): Awaitable<number | undefined>
}

export interface Progress {
  /** Everything up to and including this offset is done (or safely parked). Absent for brokers without offsets. */
  readonly offset?: bigint | undefined
  readonly applied: number
  readonly suppressed: number
}

export interface CheckpointStore {
  /** Where the subscription stands in a partition; undefined when it never committed there. */
  get(subscription: Subscription, partition: string): Awaitable<bigint | undefined>
  /** Stored in the same commit as the effect. An offset never goes back. */
  advance(subscription: Subscription, partition: string, progress: Progress): Awaitable<void>
}
