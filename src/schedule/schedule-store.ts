import type { Awaitable } from '../message.ts'

/** Messages published with `deliverAt`. They get their offset when they are due, not before. */
export interface ScheduleStore {
  /** When the earliest one is due, or undefined. */
  nextDueMs(): Awaitable<number | undefined>
  /** Moves what is due at `nowMs` into the log, in the current transaction; answers the topics touched. */
  release(nowMs: number, limit: number): Awaitable<readonly string[]>
}
