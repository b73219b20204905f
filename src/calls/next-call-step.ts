/**
 * What to do about one call of a message whose turn it is. A pure decision over the journal's newest round.
 *
 * The caller owns the message under a newer epoch than any intent in the journal, so an intent found there is one whose
 * owner was taken over before it could say how it ended: its outcome is unknown.
 */
import type { Call, CallOutcome } from '../call.ts'
import { parseJson } from '../parse-json.ts'
import type { CallErrorRecord, CallRecord } from './call-store.ts'

export type CallStep =
  /** Make the request, in this round. */
  | { readonly step: 'request'; readonly round: number }
  /** It is settled: `apply` gets this. */
  | { readonly step: 'settled'; readonly outcome: CallOutcome<unknown> }
  /** Ask the outside world first. */
  | { readonly step: 'probe'; readonly round: number; readonly token: string }
  /** Only a person can settle it. */
  | { readonly step: 'person'; readonly round: number; readonly error: CallErrorRecord }

/** The journal's code for an answer that came and could not be remembered: the call happened, its result is lost. */
export const resultInvalid = 'CALL_RESULT_INVALID'

export function nextCallStep(call: Pick<Call<never, unknown>, 'rule' | 'whenFailed'>, record: CallRecord | undefined): CallStep {
  if (record === undefined) return { step: 'request', round: 1 }
  const { round } = record
  switch (record.state) {
    case 'happened':
      return { step: 'settled', outcome: happened(record.result) }
    case 'failed':
      if (call.whenFailed === 'apply')
        return { step: 'settled', outcome: failed(record.error ?? { name: 'Error', code: 'FAILED', message: '' }) }
      return { step: 'request', round: round + 1 }
    case 'voided':
      return { step: 'request', round: round + 1 }
    case 'did-not-happen':
      return { step: 'request', round }
    case 'intent':
    case 'unknown': {
      const error = record.error ?? {
        name: 'CallUnknown',
        code: 'CALL_UNKNOWN',
        message: 'the process that may have made the request ended before it recorded an answer',
      }
      if (error.code === resultInvalid || call.rule === 'ask-person') return { step: 'person', round, error }
      return call.rule === 'probe' ? { step: 'probe', round, token: record.token } : { step: 'request', round }
    }
  }
}

export function happened(result: string | undefined): CallOutcome<unknown> {
  return { status: 'happened', ...(result === undefined ? {} : { result: parseJson(result) }) }
}

export function failed({ code, message }: CallErrorRecord): CallOutcome<unknown> {
  return { status: 'failed', error: { code, message } }
}

export const skipped: CallOutcome<unknown> = { status: 'skipped' }
