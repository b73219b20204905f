import type { CallRecord } from '../calls/call-store.ts'
import type {
  AttemptRecord,
  AttentionFilter,
  AttentionGroup,
  AttentionItem,
  AttentionRevision,
  AuditEntry,
} from './attention-store.ts'
import type { BulkFilter, BulkPreview, BulkResult } from './bulk.ts'
import type { JsonChange } from './json-difference.ts'
import type { PossibleActions } from './possible-actions.ts'

/** Everything there is to know about an item before acting on it. */
export interface AttentionDetails extends AttentionItem {
  /** The newest few, in the order they were made. */
  readonly failedAttempts: readonly AttemptRecord[]
  /** Every round of every call of the message. `owner`: is the process that began the request still there? */
  readonly calls: readonly (CallRecord & { readonly owner: 'alive' | 'dead' | 'unknown' })[]
  readonly revisions: readonly (AttentionRevision & { readonly changes: readonly JsonChange[] })[]
  readonly audit: readonly AuditEntry[]
  /** What each action would do if it were done now, or why it is refused. */
  readonly actions: PossibleActions
}

/** What a person found out about a call, or about a late message (then without `call`). */
export type Settlement =
  /** It happened. `apply` gets `result`: what JSON can carry, at most 1 MiB of it. */
  | { readonly call?: string; readonly as: 'happened'; readonly result?: unknown }
  /** It did not happen, and cannot happen any more under its token: it is made again with the same one. */
  | { readonly call?: string; readonly as: 'did-not-happen' }
  /** It did not happen, and the other side will never act on its token: it is made again with a new one. */
  | { readonly call?: string; readonly as: 'voided' }

/** Who acts: 1 to 200 characters, kept with the item. */
interface Actor {
  readonly by: string
  /** Why: at most 2,000 characters, kept with the item. */
  readonly reason?: string
}

/**
 * What waits for a person: dead letters, calls with an unknown outcome, and messages that came too late.
 *
 * Every action answers true when it changed something and false when somebody had acted already, however many processes
 * and double clicks there are: one of them does it. Each is decided anew inside its transaction, by what is there then, and
 * recorded with who, when and why.
 *
 * Actions throw OnefoldError `NOT_FOUND` (no such item), `NOT_POSSIBLE` (the message says why, and what to do instead; nothing
 * was changed) and `OPTION_INVALID`.
 */
export interface Attention {
  list(filter?: AttentionFilter): Promise<readonly AttentionItem[]>
  /** What failed alike, most frequent first. */
  groups(filter?: AttentionFilter): Promise<readonly AttentionGroup[]>
  /** @throws OnefoldError `NOT_FOUND`. */
  show(id: string): Promise<AttentionDetails>
  /** A new first attempt of the same message. Calls that happened are not made again. */
  redrive(id: string, options?: Partial<Actor>): Promise<boolean>
  /**
   * A new first attempt with other data. The identity, key and headers stay, so a late duplicate of the original is still
   * recognised; before and after are kept. Calls that happened are not made again.
   *
   * @throws OnefoldError `MESSAGE_INVALID`, `MESSAGE_TOO_LARGE`: the data must fit the topic, where this app declares it.
   */
  edit(id: string, data: unknown, options: Actor): Promise<boolean>
  /**
   * The group never runs on it again. `callsStand`: also when a call has happened, or may have.
   */
  discard(id: string, options: Required<Actor> & { readonly callsStand?: boolean }): Promise<boolean>
  /**
   * Says what became of a call (named, or the only one whose outcome is unknown); when it was the last, the message goes on.
   * 'did-not-happen' and 'voided' are refused while the process that made the request may still be at it; `ownerIsGone`
   * vouches for one on another machine. A late message is settled without `call`: 'happened' puts it aside as applied
   * before, 'did-not-happen' applies it now.
   *
   * @throws OnefoldError `MESSAGE_INVALID` when JSON cannot carry the result.
   */
  settle(id: string, settlement: Settlement, options: Actor & { readonly ownerIsGone?: boolean }): Promise<boolean>
  /** What `redriveAll` or `discardAll` would do now. */
  preview(filter: BulkFilter, action: 'redrive' | 'discard', options?: { readonly callsStand?: boolean }): Promise<BulkPreview>
  /**
   * Redrives what is open and matches now: what comes up later, and what fails again, is left alone. Short transactions; an item
   * that somebody else acts on meanwhile is acted on once. `expect`: the count somebody has seen.
   *
   * @throws OnefoldError `NOT_POSSIBLE` when there are more than `expect`; nothing was done.
   */
  redriveAll(filter: BulkFilter, options?: Partial<Actor> & { readonly expect?: number }): Promise<BulkResult>
  /** As `redriveAll`. */
  discardAll(
    filter: BulkFilter,
    options: Required<Actor> & { readonly callsStand?: boolean; readonly expect?: number },
  ): Promise<BulkResult>
}
