import type { Awaitable } from '../message.ts'

/** Messages published with `deliverAt`. They get their offset when they are due, not before. */
export interface ScheduleStore {
  /** When the earliest one is due, or undefined. */
  nextDueMs(): Awaitable<number | undefined>
  /** Moves what is due at `nowMs` into the log, in the current transaction; answers the topics touched. */
  release(nowMs: number, limit: number): Awaitable<readonly string[]>
}

export interface CronRecord {
  readonly name: string
  readonly topic: string
  readonly pattern: string
  readonly timeZone: string
  /** Instants up to and including this one have been published or given up. */
  readonly lastMs: number
  readonly fired: number
  readonly missed: number
}

/** How far each schedule has come. A schedule is known by its topic and name. */
export interface CronStore {
  /**
   * Moves a schedule on from exactly `fromMs` (undefined: it is new) to `toMs`, in the transaction that publishes its firings.
   * False: another process has been there; then nothing may be published.
   */
  advance(
    schedule: Pick<CronRecord, 'name' | 'topic' | 'pattern' | 'timeZone'>,
    step: { readonly fromMs: number | undefined; readonly toMs: number; readonly fired: number; readonly missed: number },
  ): Awaitable<boolean>
  list(): Awaitable<readonly CronRecord[]>
}
