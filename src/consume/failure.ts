import type { AttentionReason } from '../attention/attention-store.ts'
import { fingerprintOf } from '../attention/fingerprint.ts'
import { isErrorNamed, isOnefoldError, OnefoldError } from '../errors.ts'
import { nextStep } from './attempts.ts'
import type { ConsumerContext } from './consumer-context.ts'
import type { Item } from './item.ts'
import type { AttemptRecord, NewParked } from './parked-store.ts'

/** The database, not the message, is in trouble: no attempt of anybody counts. */
export function isInfrastructure(error: unknown): boolean {
  return (
    isOnefoldError(error) &&
    (error.code.startsWith('DATABASE_') ||
      error.code === 'COMMIT_UNKNOWN' ||
      (error.code === 'TRANSACTION_ENDED' && isInfrastructure(error.cause)))
  )
}

/** What a message, and nobody else, is to blame for although its savepoint could not contain it. */
export function isBlamed(error: unknown): boolean {
  return (
    error instanceof OnefoldError &&
    (error.code === 'TRANSACTION_ENDED' || error.code === 'COMMIT_REFUSED' || error.code === 'APPLY_CRASHED') &&
    !isInfrastructure(error)
  )
}

/** Told to stop, not failed: it is attempted again elsewhere, and the attempt does not count. */
export function isStopped(error: unknown): boolean {
  return isOnefoldError(error, 'ABORTED')
}

export type ParkStep = Exclude<Failed, { step: 'again-inline' }>

export type Failed =
  | { readonly step: 'again-inline' }
  | { readonly step: 'park'; readonly state: 'waiting'; readonly dueMs: number; readonly reason?: undefined }
  | { readonly step: 'park'; readonly state: 'attention'; readonly dueMs: number; readonly reason: AttentionReason }

/** What becomes of a message after a failed attempt, in terms of the parked list. */
export function afterFailure({ settings, runtime }: ConsumerContext, error: unknown, attempts: number): Failed {
  const decision = nextStep({ attempts, error, settings, random: runtime.random() })
  if (decision.step === 'again-inline') return { step: 'again-inline' }
  if (decision.step === 'park') return { step: 'park', state: 'waiting', dueMs: runtime.wallMs() + decision.delayMs }
  return { step: 'park', state: 'attention', dueMs: 0, reason: deadLetter(error) }
}

export function deadLetter(error: unknown): AttentionReason {
  const { fingerprint, errorName, errorMessage, errorStack } = fingerprintOf(error)
  return { kind: 'dead-letter', fingerprint, errorName, errorMessage, errorStack }
}

/** Nobody knows what became of a call: a person is to find out, and the key waits. */
export function unknownOutcome(error: unknown, call: string): AttentionReason {
  const { fingerprint, ...record } = fingerprintOf(error)
  return { kind: 'unknown-outcome', fingerprint: `${call}-${fingerprint}`, ...record }
}

/** The inbox does not know it, and has forgotten what was published at its time. */
export function messageLate(
  { subscription: { topic, group } }: ConsumerContext,
  { envelope: { id, source, timeMs } }: Item,
  forgottenMs: number | undefined,
): OnefoldError {
  const time = isoTime(timeMs)
  const forgotten = forgottenMs === undefined ? time : isoTime(forgottenMs)
  return new OnefoldError(
    'MESSAGE_LATE',
    `message ${id} of topic ${topic} (source ${source}) says it was published at ${time}. Group ${group} has forgotten none that was published after ${forgotten}, but some that are older, so it may have applied this one before. Settle it as 'happened' if it was, or as 'did-not-happen' to have it applied now.`,
    { outcome: 'unknown', retry: 'never', details: { topic, group, id, source, time, forgottenUpTo: forgotten } },
  )
}

/** A stated time may be any number. */
function isoTime(ms: number): string {
  const farthestMs = 8.64e15
  return new Date(Math.min(farthestMs, Math.max(-farthestMs, ms))).toISOString()
}

/** It may have been applied before: a person is to find out, and the key waits. */
export function lateMessage(error: unknown): AttentionReason {
  return { ...deadLetter(error), kind: 'late-message' }
}

/** After an attempt that left an outcome unknown: never again at once, the answer may still be on its way. */
export function afterUnknown(
  { settings, runtime }: ConsumerContext,
  unknown: OnefoldError,
  attempts: number,
  reason: AttentionReason,
): ParkStep {
  // A repeat that was told to come later says nothing of the request before it, but it says when.
  const error = isErrorNamed(unknown.cause, 'RetryLater') ? unknown.cause : unknown
  const decision = nextStep({ attempts, error, settings: { ...settings, inlineAttempts: 1 }, random: runtime.random() })
  if (decision.step === 'park') return { step: 'park', state: 'waiting', dueMs: runtime.wallMs() + decision.delayMs }
  return { step: 'park', state: 'attention', dueMs: 0, reason }
}

export function attemptRecord(error: unknown, attempt: number, atMs: number): AttemptRecord {
  const { errorName, errorMessage, errorStack } = fingerprintOf(error)
  return { attempt, atMs, errorName, errorMessage, errorStack }
}

/** A dead letter that lets later messages of its key pass ('skip') gives up its lane. */
export function laneWhenParked({ settings }: ConsumerContext, item: Item, state: 'waiting' | 'attention'): string | undefined {
  return state === 'attention' && settings.onExhausted === 'skip' ? undefined : item.lane
}

export function toParked(
  context: ConsumerContext,
  item: Item,
  failed: ParkStep,
  attempts: number,
  crashes = 0,
  failures: readonly AttemptRecord[] = [],
): NewParked {
  return {
    envelope: item.envelope,
    state: failed.state,
    attempts,
    crashes,
    dueMs: failed.dueMs,
    reason: failed.reason,
    failures,
    lane: laneWhenParked(context, item, failed.state),
    offset: item.delivery.offset,
  }
}

export function toBehind({ envelope, lane, delivery: { offset } }: Item): NewParked {
  return { envelope, state: 'behind', attempts: 0, crashes: 0, dueMs: 0, lane, offset }
}

export function reportFailure(
  context: ConsumerContext,
  partition: string,
  item: Item,
  error: unknown,
  attempts: number,
  state: 'waiting' | 'attention',
): void {
  const what = (error as Error)?.message ?? String(error)
  context.report({
    kind: state === 'attention' ? 'attention' : 'attempt-failed',
    partition,
    id: item.envelope.id,
    source: item.envelope.source,
    message:
      state === 'attention'
        ? `${attempts === 0 ? 'not attempted' : `attempt ${attempts} failed`}, the message waits for a person: ${what}`
        : `attempt ${attempts} failed: ${what}`,
    error,
  })
}
