import type { WithoutFaults } from './without-faults.ts'
import type { Moment } from './world.ts'

/** What was tried, and found without fault: no more than that. */
export interface Certificate {
  /** What the handlers' SQL ran on: `SQLite`, or `PostgreSQL 17.2`. */
  readonly database: string
  readonly schedulesPerSecond: number
  readonly schedules: number
  /** Every placement of up to so many faults. */
  readonly exhaustedDeviations: number
  /** And so many of the placements of one fault more: the budget was used before all of them were. */
  readonly partialSchedules: number
  readonly randomSchedules: number
  /** Schedules that were run twice and went the same way. */
  readonly repeatedSchedules: number
  readonly seed: number
  /** The one schedule that was run: `taken` differs where the code does not come to a place any more. Undefined: schedules were looked for. */
  readonly replayed: { readonly asked: string; readonly taken: string } | undefined
  readonly workers: number
  readonly elapsedMs: number
  /** What needs a person even when nothing goes wrong: the certificate says little about it. */
  readonly withoutFaults: WithoutFaults
  /** Fault at port call → how often. */
  readonly coverage: Readonly<Record<string, number>>
  readonly checked: readonly string[]
  readonly notCompared: readonly string[]
  readonly simulated: readonly string[]
  readonly notSimulated: readonly string[]
  /** For people. */
  readonly text: string
}

/** A schedule that breaks a rule, as small as it could be made. */
export interface ProofFailure {
  /** The checker or invariant. */
  readonly rule: string
  readonly what: string
  /** What went wrong, and where: `worker 1: consume payments/ledger · killed after COMMIT`. */
  readonly faults: readonly string[]
  /** For `replay`. */
  readonly vector: string
  readonly story: readonly Moment[]
  /** Handlers that do not run in it: `the handler of payments/ledger (app.ts:12)`. */
  readonly notRun: readonly string[]
  readonly schedules: number
  readonly shrunkFrom: number
  readonly text: string
}
