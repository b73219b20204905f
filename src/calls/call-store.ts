import type { CallRule } from '../call.ts'
import type { Subscription } from '../inbox/inbox-store.ts'
import type { Awaitable } from '../message.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { ProcessReference } from '../runtime.ts'

/**
 * intent: a request may be on its way under the claim named; once that claim's epoch has been taken over, the outcome is
 * unknown · unknown: it ended without an answer · happened · failed: the other side said no · did-not-happen, voided:
 * settled so by a probe or a person.
 *
 * ```
 *            ┌── same round, same token ──┐
 * (none) → intent → unknown → did-not-happen
 *            │         ├────→ voided ─────┐
 *            ├→ happened ←┘               ├→ intent of the next round
 *            └→ failed ───────────────────┘
 * ```
 */
export type CallState = 'intent' | 'unknown' | 'happened' | 'failed' | 'did-not-happen' | 'voided'

/** One round of one call for one message. */
export interface CallRecord {
  readonly name: string
  /** From 1. A new round, and with it a new token, only after a known failure, a voided token, or an edit. */
  readonly round: number
  readonly state: CallState
  /** The rule when the request was made: tools that do not load the program go by it. */
  readonly rule: CallRule
  readonly token: string
  /** How often a request was begun in this round. */
  readonly requests: number
  /** Who may be making it, and under which epoch. */
  readonly lease: Pick<Lease, 'name' | 'epoch'>
  readonly process: ProcessReference
  readonly intentMs: number
  readonly settledMs: number | undefined
  /** 'call', 'probe', or the person's name. */
  readonly settledBy: string | undefined
  /** JSON; undefined when it did not happen, and when it happened and answered nothing. */
  readonly result: string | undefined
  readonly error: CallErrorRecord | undefined
}

export interface CallErrorRecord {
  readonly name: string
  readonly code: string
  readonly message: string
}

export interface CallIntent {
  readonly name: string
  readonly round: number
  readonly rule: CallRule
  readonly token: string
}

export type CallSettlement =
  | { readonly state: 'happened'; readonly result: string | undefined }
  | { readonly state: 'failed' | 'unknown'; readonly error: CallErrorRecord }
  | { readonly state: 'did-not-happen' | 'voided' }

/** The journal of external calls. Its rows live as long as the identity of their message is remembered. */
export interface CallStore {
  /** The newest round of every call of a message. */
  get(subscription: Subscription, identity: string): Awaitable<readonly CallRecord[]>
  /** Every round, oldest first. */
  history(subscription: Subscription, identity: string): Awaitable<readonly CallRecord[]>
  /**
   * Records that requests are about to be made, under `lease`. Must commit, fenced by that lease, before the first byte is
   * sent. A round that is settled as happened, failed or voided is never opened again.
   */
  intend(
    subscription: Subscription,
    identity: string,
    intents: readonly CallIntent[],
    claim: {
      readonly lease: Lease
      readonly process: ProcessReference
      readonly nowMs: number
      /** The message's key: what is remembered of its calls is erased with it. */
      readonly key?: string | undefined
    },
  ): Awaitable<void>
  /**
   * Records what became of a round. From 'intent' or 'unknown' only, so that of two who settle one wins. False: it was
   * settled already.
   */
  settle(
    subscription: Subscription,
    identity: string,
    call: { readonly name: string; readonly round: number },
    settlement: CallSettlement,
    how: { readonly by: string; readonly nowMs: number },
  ): Awaitable<boolean>
  /** Message edited: what failed, or was settled as not having happened, was about other data; it is made under a new token. */
  renewRounds(subscription: Subscription, identity: string): Awaitable<void>
  /** Names in the journal of messages that are not done: renaming one of these calls would lose its state. */
  openNames(subscription: Subscription): Awaitable<readonly string[]>
}
