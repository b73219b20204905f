import type { Subscription } from '../inbox/inbox-store.ts'
import type { Awaitable, Envelope } from '../message.ts'

/**
 * dead-letter: no attempt succeeded, or none can · unknown-outcome: a call may have happened, and its rule leaves that to a
 * person · late-message: older than what the dedup window remembers, so it may have been applied before.
 */
export type AttentionKind = 'dead-letter' | 'unknown-outcome' | 'late-message'
/** settled: every unknown outcome was settled by a person, and the message went on. */
export type AttentionState = 'open' | 'redriven' | 'discarded' | 'settled'

/** Why a message needs a person. */
export interface AttentionReason {
  readonly kind: AttentionKind
  /** Groups items that failed alike: error class and first frame of the user's code. */
  readonly fingerprint: string
  readonly errorName: string
  readonly errorMessage: string
  readonly errorStack: string
}

/** What an attempt failed with, kept with the message as long as it is parked or shown in attention. */
export interface AttemptRecord {
  readonly attempt: number
  readonly atMs: number
  readonly errorName: string
  readonly errorMessage: string
  readonly errorStack: string
}

export interface AttentionItem extends AttentionReason, Subscription {
  readonly id: string
  readonly partition: string
  readonly envelope: Envelope
  readonly attempts: number
  readonly crashes: number
  /** How many later messages of the same key wait behind it. */
  readonly behind: number
  readonly sinceMs: number
  readonly state: AttentionState
  readonly by: string | undefined
  readonly reason: string | undefined
  readonly closedMs: number | undefined
}

export interface AttentionFilter {
  readonly topic?: string | undefined
  readonly group?: string | undefined
  readonly kind?: AttentionKind | undefined
  readonly fingerprint?: string | undefined
  /** The message's key. */
  readonly key?: string | undefined
  /** Default 'open'. */
  readonly state?: AttentionState | 'all' | undefined
  /** At most so many, oldest first: 1 to 100,000, default 1,000. */
  readonly limit?: number | undefined
}

/** Open items, or those of another state, that failed alike. */
export interface AttentionGroup extends Subscription {
  readonly fingerprint: string
  readonly kind: AttentionKind
  readonly count: number
  readonly oldestMs: number
  readonly newestMs: number
  /** Of the newest item. */
  readonly newestId: string
  readonly errorName: string
  readonly errorMessage: string
}

export type AttentionAction = 'redrive' | 'edit' | 'discard' | 'settle'

/** Who did what to an item, when and why. */
export interface AuditEntry {
  readonly action: AttentionAction
  readonly by: string | undefined
  readonly reason: string | undefined
  readonly atMs: number
  /** JSON: what exactly, such as the call that was settled and as what. */
  readonly details: string | undefined
}

/** A body before and after an edit. */
export interface AttentionRevision {
  readonly by: string
  readonly reason: string | undefined
  readonly atMs: number
  /** Canonical JSON. */
  readonly before: string
  readonly after: string
}

export interface AttentionStore {
  /**
   * Holds up the owners of the items' partitions, and others who act on them, until the transaction ends. Comes first in it: what
   * was read before may have changed meanwhile. Items that are not there are left out.
   */
  lock(ids: readonly string[]): Awaitable<void>
  list(filter: AttentionFilter): Awaitable<readonly AttentionItem[]>
  /** Ids of all that match, oldest first; without `limit` there is no bound. */
  ids(filter: AttentionFilter): Awaitable<readonly string[]>
  /** Most frequent first; `limit` counts groups. */
  groups(filter: AttentionFilter): Awaitable<readonly AttentionGroup[]>
  get(id: string): Awaitable<AttentionItem | undefined>
  /** The open item of a message. */
  openOf(subscription: Subscription, message: Pick<Envelope, 'source' | 'id'>): Awaitable<AttentionItem | undefined>
  /** The message's failed attempts, the newest few, in the order they were made. */
  failedAttempts(id: string): Awaitable<readonly AttemptRecord[]>
  /** Oldest first. */
  audit(id: string): Awaitable<readonly AuditEntry[]>
  /** Of the message, by whichever of its items; oldest first. */
  revisions(id: string): Awaitable<readonly AttentionRevision[]>
  /** Open → redriven, and the message is due for a new first attempt. False: it was not open (a second click). */
  redrive(id: string, by: string | undefined, nowMs: number, reason?: string): Awaitable<boolean>
  /** Open → discarded; messages waiting behind it move on. False: it was not open. */
  discard(id: string, by: string, reason: string, nowMs: number): Awaitable<boolean>
  /**
   * Open → settled. 'go-on': the message is due for a new first attempt. 'put-aside': it counts as applied, and messages
   * waiting behind it move on. False: it was not open.
   */
  settle(id: string, then: 'go-on' | 'put-aside', by: string, reason: string | undefined, nowMs: number): Awaitable<boolean>
  /** Gives the parked message another body and remembers both. Its identity stays. False: the message is not parked any more. */
  revise(id: string, revision: Omit<AttentionRevision, 'before'>): Awaitable<boolean>
  record(id: string, entry: AuditEntry): Awaitable<void>
}
