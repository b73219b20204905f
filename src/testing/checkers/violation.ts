import type { CallRule } from '../../call.ts'
import type { Semantics } from '../../consume/consume-options.ts'
import type { MessageName, MessageOfGroup, SnapshotOperation } from '../history.ts'

/** Stable names, in the order in which `checkAll` runs and `explain` lists them. docs/checkers.md says what each can show. */
export const checkerNames = [
  'no-loss',
  'no-duplicate-effect',
  'no-phantom',
  'receipts',
  'key-order',
  'key-gap',
  'total-order',
  'causal-order',
  'convergence',
  'conservation',
  'one-transaction',
  'fenced',
  'liveness',
  'honest-unknowns',
  'attention',
  'charged-once',
  'call-token',
  'call-token-shared',
  'call-repeat',
  'call-turn',
  'call-result',
  'call-silence',
  'determinism',
] as const
export type CheckerName = (typeof checkerNames)[number]

/** A promise that was not kept. */
export interface Violation {
  readonly checker: CheckerName
  /** One sentence, for somebody who has never seen this history. */
  readonly what: string
  /** Indexes of the fewest operations that show it, rising. */
  readonly evidence: readonly number[]
  /** The message it is about, where it is about one. */
  readonly about?: MessageName | MessageOfGroup
}

/** The same for every group, or by the group's name. */
export type PerGroup<T extends string> = T | Readonly<Record<string, T>>

export interface CallPromise {
  /** 'ask-person': never asked for again by itself while its outcome is unknown (`callRepeat`). */
  readonly rule: CallRule
  /** Default true. False where the rule is 'repeat' and the other side does not honour tokens. */
  readonly chargedOnce?: boolean
  /** The outside world's whole ledger is in the history, and be it empty. Default: known by its charges. */
  readonly ledgerKnown?: boolean
}

export interface Promises {
  /** Default 'key'. 'causal' asks for explicit links (`after`, `cause`). */
  readonly order?: PerGroup<'key' | 'total' | 'causal' | 'none'>
  /** Default 'hold': a message in attention holds up the later ones of its key. */
  readonly onExhausted?: PerGroup<'hold' | 'skip'>
  /** A repeated publish of one identity is answered with 'duplicate'. Default true. */
  readonly repeatsRecognised?: boolean
  /** By the name of the call. One that is not named is promised to charge at most once. */
  readonly calls?: Readonly<Record<string, CallPromise>>
  /** What must be true of every committed snapshot: answers with what is wrong, or undefined. */
  readonly conservation?: (state: unknown, snapshot: SnapshotOperation) => string | undefined
}

export interface CheckOptions {
  /** Default 'effectively-once', also for groups that are not named. */
  readonly semantics?: PerGroup<Semantics>
  readonly promises?: Promises
}

/** What a weaker promise does not include. */
export const waived: Readonly<Record<Semantics, readonly CheckerName[]>> = {
  'effectively-once': [],
  'at-least-once': ['no-duplicate-effect', 'one-transaction', 'fenced', 'attention'],
  'at-most-once': ['no-loss', 'key-gap', 'liveness', 'one-transaction', 'fenced', 'attention'],
}

export function ofGroup<T extends string>(setting: PerGroup<T> | undefined, group: string, fallback: T): T {
  if (setting === undefined) return fallback
  return typeof setting === 'string' ? setting : ((setting as Readonly<Record<string, T>>)[group] ?? fallback)
}

export function violation(
  checker: CheckerName,
  what: string,
  evidence: readonly number[],
  about?: MessageName | MessageOfGroup,
): Violation {
  const rising = [...new Set(evidence)].filter((index) => index >= 0).sort((a, b) => a - b)
  return { checker, what, evidence: rising, ...(about === undefined ? {} : { about }) }
}
