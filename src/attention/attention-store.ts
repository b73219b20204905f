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
  /** Default 'open'. */
  readonly state?: AttentionState | 'all' | undefined
  readonly limit?: number | undefined
}

export interface AttentionStore {
  list(filter: AttentionFilter): Awaitable<readonly AttentionItem[]>
  get(id: string): Awaitable<AttentionItem | undefined>
  /** Open → redriven, and the message is due for a new first attempt. False: it was not open (a second click). */
  redrive(id: string, by: string | undefined, nowMs: number): Awaitable<boolean>
  /** Open → discarded; messages waiting behind it move on. False: it was not open. */
  discard(id: string, by: string, reason: string, nowMs: number): Awaitable<boolean>
}
