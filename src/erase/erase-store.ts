import type { Awaitable } from '../message.ts'

/** What was erased, or would be: rows that held data of the key. */
export interface Erased {
  /** In the topic's log. Their places, ids and times stay. */
  readonly messages: number
  /** Waiting for a later attempt, for a person, or behind such a message. Removed. */
  readonly parked: number
  /** Attention items, open or closed. Open ones are closed as discarded. */
  readonly attention: number
  /** Not yet sent to a broker elsewhere. Removed. */
  readonly outbox: number
  /** Published for later. Removed. */
  readonly scheduled: number
  /** Rounds of external calls: results and error texts. That they were made stays. */
  readonly calls: number
  /** Bodies before and after an edit. */
  readonly revisions: number
}

/**
 * In the order in which messages move on, so that none moves from a part not yet done into one that is: what is delayed
 * or leaves by the outbox comes into the log, what is in the log is parked, what is parked goes to attention.
 */
export const eraseParts = ['scheduled', 'outbox', 'messages', 'parked', 'attention', 'calls'] as const
export type ErasePart = (typeof eraseParts)[number]

export interface EraseTarget {
  readonly topic: string
  readonly key: string
}

export interface ErasureRecord {
  readonly topic: string
  /** SHA-256 of salt, topic and key: tells a key that is known, and does not tell the key. */
  readonly keySalt: Uint8Array
  readonly keyDigest: Uint8Array
  readonly by: string
  readonly reason: string | undefined
  readonly atMs: number
}

export interface EraseStore {
  /** Has anything been published to the topic, or consumed of it? */
  knows(topic: string): Awaitable<boolean>
  /** Who erases what, and why; kept for good. Answers its number. */
  begin(record: ErasureRecord): Awaitable<number>
  /** Adds to the rows erased. */
  count(erasure: number, rows: number): Awaitable<void>
  finish(erasure: number, atMs: number): Awaitable<void>
  /**
   * Rows with data of the key, in a bounded stretch of the part after `cursor` (undefined: from its beginning). `next` is
   * undefined at the part's end. Changes nothing.
   */
  find(
    part: ErasePart,
    target: EraseTarget,
    cursor: number | undefined,
  ): Awaitable<{ readonly rows: readonly number[]; readonly next: number | undefined }>
  /** Erases those of the rows that still hold data of the key. Their old bytes are overwritten, as far as the engine can. */
  erase(
    part: ErasePart,
    target: EraseTarget,
    rows: readonly number[],
    how: { readonly by: string; readonly reason: string | undefined; readonly nowMs: number },
  ): Awaitable<Partial<Erased>>
  /** What a preview would miss of rows found in `part`: revisions hang on attention items. */
  revisionsOf(rows: readonly number[]): Awaitable<number>
}
