import type { AttentionReason } from '../attention/attention-store.ts'
import { fingerprintOf } from '../attention/fingerprint.ts'
import { isOnefoldError } from '../errors.ts'
import { nextStep } from './attempts.ts'
import type { ConsumerContext } from './consumer-context.ts'
import type { Item } from './item.ts'
import type { NewParked } from './parked-store.ts'

/** The database, not the message, is in trouble: no attempt of anybody counts. */
export function isInfrastructure(error: unknown): boolean {
  return (
    isOnefoldError(error) &&
    (error.code.startsWith('DATABASE_') ||
      error.code === 'COMMIT_UNKNOWN' ||
      (error.code === 'TRANSACTION_ENDED' && isInfrastructure(error.cause)))
  )
}

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

/** A dead letter that lets later messages of its key pass ('skip') gives up its lane. */
export function laneWhenParked({ settings }: ConsumerContext, item: Item, state: 'waiting' | 'attention'): string | undefined {
  return state === 'attention' && settings.onExhausted === 'skip' ? undefined : item.lane
}

export function toParked(
  context: ConsumerContext,
  item: Item,
  failed: Exclude<Failed, { step: 'again-inline' }>,
  attempts: number,
  crashes = 0,
): NewParked {
  return {
    envelope: item.envelope,
    state: failed.state,
    attempts,
    crashes,
    dueMs: failed.dueMs,
    reason: failed.reason,
    lane: laneWhenParked(context, item, failed.state),
  }
}

export function toBehind(item: Item): NewParked {
  return { envelope: item.envelope, state: 'behind', attempts: 0, crashes: 0, dueMs: 0, lane: item.lane }
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
    message:
      state === 'attention'
        ? `attempt ${attempts} failed, the message waits for a person: ${what}`
        : `attempt ${attempts} failed: ${what}`,
    error,
  })
}
