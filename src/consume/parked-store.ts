import type { AttemptRecord, AttentionReason } from '../attention/attention-store.ts'
import type { Subscription } from '../inbox/inbox-store.ts'
import type { Awaitable, Envelope } from '../message.ts'

/**
 * waiting: its next attempt runs at `dueMs` · calling: its calls are under way, under the partition's lease ·
 * behind: waits for an earlier message of its key · attention: waits for a person.
 */
export type ParkedState = 'waiting' | 'calling' | 'behind' | 'attention'

export type { AttemptRecord }

/** Failed attempts kept per message: the newest. */
export const keptAttempts = 20

export interface ParkedMessage {
  readonly row: bigint
  readonly state: ParkedState
  readonly envelope: Envelope
  readonly attempts: number
  readonly crashes: number
  readonly dueMs: number
}

export interface NewParked {
  readonly envelope: Envelope
  readonly state: ParkedState
  readonly attempts: number
  readonly crashes: number
  readonly dueMs: number
  readonly reason?: AttentionReason | undefined
  /** Failed attempts made before it was parked. */
  readonly failures?: readonly AttemptRecord[] | undefined
  /** The key it holds up or waits for; undefined when it holds nobody (no key, or topic order 'none'). */
  readonly lane: string | undefined
  /** Its place, where the broker is a log. */
  readonly offset?: bigint | undefined
}

/** What becomes of a parked message whose attempt has failed. */
export interface FailedTurn {
  readonly state: 'waiting' | 'attention'
  /** As the row says when the turn begins: what a person does to it changes one of them. */
  readonly before: { readonly attempts: number; readonly dueMs: number }
  readonly attempts: number
  readonly crashes: number
  readonly dueMs: number
  readonly reason?: AttentionReason
  readonly failure?: AttemptRecord
  /** Its lane goes on without it. */
  readonly release: boolean
}

/**
 * Messages taken off their partition until a later attempt, or until a person decides. A parked message is recorded
 * as received in the same commit, so the partition moves on; later messages of its key park behind it in order.
 */
export interface ParkedStore {
  /**
   * One that is parked already is left as it is: handed over again, or parked by a COMMIT that answered with an error. The same
   * identity with other data is another message. Not parked is what has been erased in this database's log since it was read. One
   * that is to wait 'behind' others of its lane, and finds none, is due at `nowMs`: a person has taken them away meanwhile.
   */
  park(subscription: Subscription, partition: string, messages: readonly NewParked[], nowMs: number): Awaitable<void>
  /** Due at `nowMs`, oldest first: at most one per lane, always the lane's first. */
  due(
    subscription: Subscription,
    partition: string,
    nowMs: number,
    limit: number,
  ): Awaitable<readonly (ParkedMessage & { lane: string | undefined })[]>
  /** When the next one of this partition is due, or undefined. */
  nextDueMs(subscription: Subscription, partition: string): Awaitable<number | undefined>
  /** Is one of this partition to be attempted again, now or later, or in somebody's hands? */
  anyOpen(subscription: Subscription, partition: string): Awaitable<boolean>
  /**
   * Waiting → calling: from now on the row is in somebody's hands. Again by the same hands is harmless: the commit that said so
   * may have answered with an error. False: it is no longer there, or a person has it.
   */
  call(row: bigint): Awaitable<boolean>
  /**
   * Calling → waiting, due at `nowMs`: after a takeover, for those whose owner is gone. Answers how many.
   * Only under the partition's lease.
   */
  reclaim(subscription: Subscription, partition: string, nowMs: number): Awaitable<number>
  /** Does a message hold this lane up? */
  holds(subscription: Subscription, partition: string, lane: string): Awaitable<boolean>
  /** Lanes that hold later messages up. */
  heldLanes(subscription: Subscription, partition: string): Awaitable<readonly string[]>
  /** Applied: removes the row and makes the next of its lane due. False: it was no longer there (discarded meanwhile). */
  done(row: bigint, nowMs: number): Awaitable<boolean>
  /**
   * The attempt failed again. False: the row is no longer there, or no longer as the turn found it: a person has acted, or this
   * very change has been committed by a COMMIT that answered with an error.
   */
  failed(row: bigint, change: FailedTurn, nowMs: number): Awaitable<boolean>
}

/** Durable marks: "this message is about to run alone", written only when a crash is suspected. */
export interface StartMarkStore {
  /**
   * Adds one to the mark and answers how many starts are now unexplained, this one included. One epoch counts once: a second start in
   * it is the same one, whose COMMIT took effect and answered with an error.
   */
  begin(subscription: Subscription, partition: string, identity: string, under: { readonly epoch: bigint }): Awaitable<number>
  clear(subscription: Subscription, partition: string, identity: string): Awaitable<void>
  list(subscription: Subscription, partition: string): Awaitable<readonly { identity: string; starts: number }[]>
}
