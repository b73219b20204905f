import type { CallRecord } from '../calls/call-store.ts'
import { resultInvalid } from '../calls/next-call-step.ts'

/**
 * What a new attempt of the message does about a call, as far as the journal can tell.
 *
 * stands: it happened, and is never made again · new-token: made again in a new round · same-token: made again in the same
 * round · asked-about: its probe decides · needs-person: nobody but a person can say what became of it.
 */
export type CallFate = 'stands' | 'new-token' | 'same-token' | 'asked-about' | 'needs-person'

export interface CallConsequence {
  readonly call: string
  readonly round: number
  readonly fate: CallFate
}

/** Goes by the rule that held when the request was made: what is declared now is not known here. */
export function fateOf(record: CallRecord): CallFate {
  switch (record.state) {
    case 'happened':
      return 'stands'
    case 'failed':
    case 'voided':
      return 'new-token'
    case 'did-not-happen':
      return 'same-token'
    case 'intent':
    case 'unknown':
      if (isResultLost(record) || record.rule === 'ask-person') return 'needs-person'
      return record.rule === 'probe' ? 'asked-about' : 'same-token'
  }
}

/** As `fateOf`, when the message gets other data: nothing is sent again under a token that stands for the old data. */
export function fateAfterEdit(record: CallRecord): CallFate {
  return record.state === 'did-not-happen' ? 'new-token' : fateOf(record)
}

/** Nobody has said what became of it. An intent in the journal of a message that waits for a person was left by whoever made it. */
export function isUnsettled({ state }: CallRecord): boolean {
  return state === 'intent' || state === 'unknown'
}

/** It happened, and its answer could not be remembered. */
export function isResultLost(record: CallRecord): boolean {
  return isUnsettled(record) && record.error?.code === resultInvalid
}
