/**
 * Judges what became of external calls by the provider's ledger, the user's own table and the attention list, told as a history
 * to the public checkers: never by Onefold's journal.
 */
import type { CheckerName, CheckOptions, History, Operation, OperationOutcome } from '../../src/testing/index.ts'
import { checkers, Reading } from '../../src/testing/index.ts'
import type { Ledger, LedgerRequest } from './payment-ledger.ts'

/** One message: `key-number` of its key. */
export interface Order {
  readonly id: string
  readonly key: string
  readonly number: number
}

export interface AppliedRow extends Order {
  /** The provider's id for the charge. */
  readonly charge: string | null
  readonly attempt: number
}

export interface CallHistory {
  readonly orders: readonly Order[]
  readonly ledger: Ledger
  readonly applied: readonly AppliedRow[]
  /** Ids of the messages that wait for a person. */
  readonly attention: readonly string[]
}

export interface CallAudit {
  /** Neither applied, nor with a person, nor waiting behind one of its key that is. */
  readonly lost: readonly string[]
  readonly appliedTwice: readonly string[]
  readonly outOfOrder: readonly string[]
  readonly neverPublished: readonly string[]
  readonly appliedAndInAttention: readonly string[]
  /** With a charge that is not in the ledger, or is another message's. */
  readonly appliedWithoutCharge: readonly string[]
  readonly chargedTwice: readonly string[]
  /** Charged and not applied, and no person is told. */
  readonly chargedInSilence: readonly string[]
  /** Asked for again although an earlier request had not been refused. */
  readonly askedAgain: readonly string[]
  /** Asked for under a new token although the one before was neither refused nor void. */
  readonly freshToken: readonly string[]
  /** Its token was used for another message, or with another body. */
  readonly tokenMisused: readonly string[]
  /** Asked for before an earlier one of its key was through. */
  readonly askedOutOfTurn: readonly string[]
}

export const clean: CallAudit = {
  lost: [],
  appliedTwice: [],
  outOfOrder: [],
  neverPublished: [],
  appliedAndInAttention: [],
  appliedWithoutCharge: [],
  chargedTwice: [],
  chargedInSilence: [],
  askedAgain: [],
  freshToken: [],
  tokenMisused: [],
  askedOutOfTurn: [],
}

const findings: Readonly<Record<keyof CallAudit, CheckerName>> = {
  lost: 'no-loss',
  appliedTwice: 'no-duplicate-effect',
  outOfOrder: 'key-order',
  neverPublished: 'no-phantom',
  appliedAndInAttention: 'attention',
  appliedWithoutCharge: 'call-result',
  chargedTwice: 'charged-once',
  chargedInSilence: 'call-silence',
  askedAgain: 'call-repeat',
  freshToken: 'call-token',
  tokenMisused: 'call-token-shared',
  askedOutOfTurn: 'call-turn',
}

/** Judged by the strictest rule; `violations` is told what was not promised. */
const options: CheckOptions = { promises: { calls: { charge: { rule: 'ask-person', ledgerKnown: true } } } }

export function auditCalls(history: CallHistory): CallAudit {
  const reading = new Reading(historyOf(history), options)
  const found = Object.entries(findings).map(([finding, checker]) => [
    finding,
    [...new Set(checkers[checker](reading).map(({ about }) => about?.identity ?? ''))],
  ])
  const judged = Object.fromEntries(found) as CallAudit
  // The provider itself compares what it is asked for under one token.
  const refusedForBody = history.ledger.requests.filter(({ status }) => status === 422).map(({ reference }) => reference)
  return { ...judged, tokenMisused: [...new Set([...judged.tokenMisused, ...refusedForBody])] }
}

function historyOf({ orders, ledger, applied, attention }: CallHistory): History {
  const of = (identity: string) => ({ topic: 'orders', group: 'billing', identity })
  const call = 'charge'
  return [
    { op: 'consumer', topic: 'orders', group: 'billing' },
    ...orders.map(
      ({ id, key, number }): Operation => ({
        op: 'publish',
        topic: 'orders',
        identity: id,
        key,
        outcome: 'happened',
        producer: 'shop',
        order: number,
      }),
    ),
    // A token is void for ever, whenever that was noted.
    ...ledger.requests
      .filter(({ token }) => ledger.voided.includes(token))
      .map(({ reference, token }): Operation => ({ op: 'settle', ...of(reference), call, token, as: 'voided' })),
    ...ledger.requests.map((request): Operation => {
      const { reference, token, status, arrivedMs, endedMs } = request
      const times = status === undefined || endedMs === undefined ? { beganMs: arrivedMs } : { beganMs: arrivedMs, endedMs }
      // Busy: what was asked for before under this token may have happened.
      const busy = status === 503 ? ({ refuses: 'request' } as const) : {}
      return { op: 'request', ...of(reference), call, token, outcome: outcomeOf(request), ...busy, ...times }
    }),
    ...ledger.charges.map(({ id, reference, token }): Operation => ({ op: 'charge', ...of(reference), call, token, id })),
    ...applied.map(
      ({ id, charge, attempt }): Operation => ({
        op: 'effect',
        ...of(id),
        outcome: 'happened',
        attempt,
        ...(charge === null ? {} : { calls: { charge } }),
      }),
    ),
    ...attention.map((id): Operation => ({ op: 'attention', ...of(id), kind: 'unknown-outcome' })),
    { op: 'end', quiet: true },
  ]
}

/** 409 says that an earlier request is being carried out; 500 may come from a provider that charged and then broke. */
function outcomeOf({ status }: LedgerRequest): OperationOutcome {
  if (status === 402 || status === 503) return 'did-not-happen'
  return status === 200 ? 'happened' : 'unknown'
}

/** In attention, and the ledger shows no request whose answer was lost: only the end of a process explains these. */
export function unexplained({ ledger, attention }: CallHistory): string[] {
  const doubtful = new Set(
    ledger.requests.filter(({ status }) => status === undefined || status >= 500).map(({ reference }) => reference),
  )
  return attention.filter((id) => !doubtful.has(id))
}

/** What is wrong and was promised: findings named in `except` were not. */
export function violations(history: CallHistory, except: readonly (keyof CallAudit)[] = []): Partial<CallAudit> {
  return Object.fromEntries(
    Object.entries(auditCalls(history)).filter(([name, ids]) => ids.length > 0 && !except.includes(name as keyof CallAudit)),
  )
}
