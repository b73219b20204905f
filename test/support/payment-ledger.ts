/** What the payment provider does to a request, and what it remembers of all of them. */

/**
 * answer: charges and answers · lose-answer: charges, then cuts the connection · never: neither charges nor answers ·
 * late: charges `lateMs` after the client gave up, if the token is still good then · slow: the same, but it has taken note of
 * the token at once · answer-twice: a second answer on the same connection · charge-then-500: charges and answers 500 ·
 * decline: answers 402, for ever under this token · unavailable: 503, nothing remembered.
 */
export type Behaviour =
  | 'answer'
  | 'lose-answer'
  | 'never'
  | 'late'
  | 'slow'
  | 'answer-twice'
  | 'charge-then-500'
  | 'decline'
  | 'unavailable'

export interface ProviderConfig {
  readonly seed: number
  /** honoured: one token, one charge, one answer · ignored: every request charges. */
  readonly tokens: 'honoured' | 'ignored'
  /** A second request under a token while the first is being carried out: waits for its answer, or is told 409. */
  readonly meanwhile: 'wait' | 'conflict'
  /** What becomes of the n-th request for a reference. */
  readonly plans?: Readonly<Record<string, readonly Behaviour[]>>
  /** Chances of the behaviours, for references without a plan; what is left is 'answer'. */
  readonly odds?: Readonly<Partial<Record<Behaviour, number>>>
  /** Requests for a reference that may go wrong by those chances, before all is well. */
  readonly troubles: number
  /** Chance that a lookup or a void is answered 503. */
  readonly lookupsRefused: number
  readonly lateMs: number
  /** A request takes from 0 to this. */
  readonly workMs: number
}

export interface LedgerRequest {
  /** 1, 2, 3 … in the order they arrived. */
  readonly number: number
  readonly reference: string
  readonly key: string
  readonly token: string
  /** Who asked, as it said itself. */
  readonly client: string
  readonly behaviour: Behaviour
  readonly arrivedMs: number
  /** When it was answered or the client was gone. */
  readonly endedMs?: number | undefined
  /** Undefined when no answer was sent. */
  readonly status?: number | undefined
}

export interface LedgerCharge {
  readonly id: string
  readonly reference: string
  readonly token: string
  readonly request: number
  readonly atMs: number
}

export interface Ledger {
  readonly requests: readonly LedgerRequest[]
  readonly charges: readonly LedgerCharge[]
  readonly voided: readonly string[]
  /** Requests that may still be carried out although their client has gone. */
  readonly late: number
}
