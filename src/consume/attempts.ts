/**
 * What to do with a message whose attempt failed. A pure decision: the consumer loop carries it out.
 *
 * ```
 * attempt   1   2 | 3     4     5     …  maxAttempts
 *           inline| parked, after ever longer delays   → dead letter
 * ```
 */
import type { CallFailed, RetryLater } from '../errors.ts'
import { isErrorNamed } from '../errors.ts'

export interface AttemptSettings {
  /** Attempts in all, the first included. */
  readonly maxAttempts: number
  /** Attempts made at once, before the message is parked. */
  readonly inlineAttempts: number
  /** Bound of the delay before the first parked attempt; doubled before each later one. */
  readonly backoffMs: number
  /** Bound of all those bounds. */
  readonly maxBackoffMs: number
}

export type NextStep =
  | { readonly step: 'again-inline' }
  | { readonly step: 'park'; readonly delayMs: number }
  | { readonly step: 'dead-letter' }

export interface FailedAttempt {
  /** Attempts made so far, the failed one included. */
  readonly attempts: number
  /** What the handler threw. */
  readonly error: unknown
  readonly settings: AttemptSettings
  /** Uniform in [0, 1): `runtime.random()`. */
  readonly random: number
}

/**
 * The next step after a failed attempt.
 *
 * - `TerminalError`: a dead letter at once.
 * - `maxAttempts` made: a dead letter, whatever was thrown.
 * - `RetryLater`: parked for exactly the delay it names, also while inline attempts are left.
 * - fewer than `inlineAttempts` made: again at once.
 * - otherwise parked, with exponential back-off and full jitter: a whole number of milliseconds, every one from 1 to
 *   min(`maxBackoffMs`, `backoffMs` × 2ⁿ) equally likely, where n counts the parked attempts already made. Full jitter
 *   spreads messages that failed together best (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/);
 *   never 0, so that a parked message always lets others run first, even with `backoffMs: 0`.
 */
export function nextStep({ attempts, error, settings, random }: FailedAttempt): NextStep {
  if (isTerminal(error)) return { step: 'dead-letter' }
  if (attempts >= settings.maxAttempts) return { step: 'dead-letter' }
  const askedMs = isErrorNamed(error, 'RetryLater') ? delayOf(error as RetryLater) : undefined
  if (askedMs !== undefined) return { step: 'park', delayMs: askedMs }
  if (attempts < settings.inlineAttempts) return { step: 'again-inline' }
  // Above 2^50 every bound is maxBackoffMs.
  const doublings = Math.min(Math.max(attempts - settings.inlineAttempts, 0), 50)
  const boundMs = Math.min(settings.maxBackoffMs, settings.backoffMs * 2 ** doublings)
  return { step: 'park', delayMs: 1 + Math.floor(random * boundMs) }
}

/** `TerminalError`, or a call's refusal that says so. */
function isTerminal(error: unknown): boolean {
  if (isErrorNamed(error, 'TerminalError')) return true
  try {
    return isErrorNamed(error, 'CallFailed') && (error as CallFailed).terminal === true
  } catch {
    return false
  }
}

/** Another copy's bounds may differ, and a lookalike may have no delay at all: then it is a failure like any other. */
function delayOf(error: RetryLater): number | undefined {
  try {
    const maxMs = 30 * 24 * 3_600_000
    const { afterMs } = error
    return typeof afterMs === 'number' && afterMs >= 0 ? Math.min(Math.ceil(afterMs), maxMs) : undefined
  } catch {
    return undefined
  }
}
