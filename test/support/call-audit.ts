/**
 * Judges what became of external calls by the provider's ledger, the user's own table and the attention list: never by
 * Onefold's journal.
 */
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

export function auditCalls({ orders, ledger, applied, attention }: CallHistory): CallAudit {
  const wanted = new Map(orders.map((order) => [order.id, order]))
  const done = new Set(applied.map((row) => row.id))
  const withPerson = new Set(attention)
  const charged = Map.groupBy(ledger.charges, (charge) => charge.reference)
  const charges = new Map(ledger.charges.map((charge) => [charge.id, charge]))
  const requests = Map.groupBy(ledger.requests, (request) => request.reference)
  const tokens = Map.groupBy(ledger.requests, (request) => request.token)
  const behind = new Map<string, number>()
  for (const id of attention) {
    const { key, number } = wanted.get(id) ?? { key: '', number: 0 }
    behind.set(key, Math.min(number, behind.get(key) ?? number))
  }
  const isBehind = ({ key, number }: Order): boolean => number > (behind.get(key) ?? number)
  const isRefused = (request: LedgerRequest): boolean =>
    ledger.voided.includes(request.token) || request.status === 402 || request.status === 503
  const some = (test: (ofOne: readonly LedgerRequest[]) => boolean): string[] =>
    [...requests].filter(([, ofOne]) => test(ofOne)).map(([reference]) => reference)
  return {
    lost: orders.filter((order) => !done.has(order.id) && !withPerson.has(order.id) && !isBehind(order)).map(({ id }) => id),
    appliedTwice: repeated(applied.map((row) => row.id)),
    outOfOrder: early(applied).map(({ id }) => id),
    neverPublished: [...done, ...requests.keys(), ...attention].filter((id) => !wanted.has(id)),
    appliedAndInAttention: attention.filter((id) => done.has(id)),
    appliedWithoutCharge: applied
      .filter(({ id, charge }) => charge !== null && charges.get(charge)?.reference !== id)
      .map(({ id }) => id),
    chargedTwice: [...charged].filter(([, ofOne]) => ofOne.length > 1).map(([reference]) => reference),
    chargedInSilence: [...charged.keys()].filter((id) => !done.has(id) && !withPerson.has(id)),
    askedAgain: some((ofOne) => ofOne.slice(0, -1).some((request) => !isRefused(request))),
    freshToken: some((ofOne) =>
      ofOne.some(({ token }, index) => {
        const before = ofOne.slice(0, index)
        if (index === 0 || before.some((request) => request.token === token)) return false
        const last = before.at(-1)?.token
        return !before.some((request) => request.token === last && isRefused(request))
      }),
    ),
    tokenMisused: [...tokens.values()]
      .filter(
        (ofOne) => new Set(ofOne.map((request) => request.reference)).size > 1 || ofOne.some(({ status }) => status === 422),
      )
      .flatMap((ofOne) => ofOne.map((request) => request.reference)),
    askedOutOfTurn: outOfTurn(ledger.requests, wanted),
  }
}

function repeated(ids: readonly string[]): string[] {
  return [...Map.groupBy(ids, (id) => id)].filter(([, same]) => same.length > 1).map(([id]) => id)
}

/** Those that come after a later one of their key. */
function early(rows: readonly Order[]): Order[] {
  const last = new Map<string, number>()
  return rows.filter(({ key, number }) => {
    const before = number < (last.get(key) ?? 0)
    last.set(key, Math.max(number, last.get(key) ?? 0))
    return before
  })
}

/** Of one key: asked for after a later one, or while an earlier one was still being answered. */
function outOfTurn(requests: readonly LedgerRequest[], orders: ReadonlyMap<string, Order>): string[] {
  const found = new Set(early(requests.flatMap(({ reference }) => orders.get(reference) ?? [])).map(({ id }) => id))
  for (const ofKey of Map.groupBy(requests, (request) => request.key).values()) {
    let answered = { reference: '', untilMs: 0 }
    for (const { reference, arrivedMs, endedMs, status } of ofKey) {
      if (reference !== answered.reference && arrivedMs < answered.untilMs) found.add(reference)
      if (status !== undefined && endedMs !== undefined) answered = { reference, untilMs: Math.max(answered.untilMs, endedMs) }
    }
  }
  return [...found]
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
