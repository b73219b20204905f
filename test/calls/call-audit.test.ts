import { describe, expect, test } from 'vitest'
import type { CallHistory } from '../support/call-audit.ts'
import { auditCalls, clean, unexplained, violations } from '../support/call-audit.ts'
import { someOrders } from '../support/call-workload.ts'
import type { Ledger, LedgerCharge, LedgerRequest } from '../support/payment-ledger.ts'

const orders = someOrders(2, 2)
const [first, second] = orders

const request = (number: number, reference: string, more: Partial<LedgerRequest> = {}): LedgerRequest => ({
  number,
  reference,
  key: reference.slice(0, 2),
  token: `token of ${reference}`,
  client: '1',
  behaviour: 'answer',
  arrivedMs: 10 * number,
  endedMs: 10 * number + 5,
  status: 200,
  ...more,
})

const charge = (request: LedgerRequest, id = `ch_${request.reference}`): LedgerCharge => ({
  id,
  reference: request.reference,
  token: request.token,
  request: request.number,
  atMs: request.arrivedMs,
})

const requests = orders.map((order, index) => request(index + 1, order.id))
const right = {
  orders,
  ledger: { requests, charges: requests.map((one) => charge(one)), voided: [], late: 0 } as Ledger,
  applied: orders.map((order) => ({ ...order, charge: `ch_${order.id}`, attempt: 1 })),
  attention: [] as string[],
} satisfies CallHistory

const found = ({ ledger, ...history }: Partial<Omit<CallHistory, 'ledger'>> & { ledger?: Partial<Ledger> }) =>
  violations({ ...right, ...history, ledger: { ...right.ledger, ...ledger } })

describe('the judge of calls', () => {
  test('accuses nobody when all is right', () => {
    expect(auditCalls(right)).toEqual(clean)
  })

  test('finds a doubled charge, also when it was applied once', () => {
    const again = request(5, first!.id)
    expect(
      found({ ledger: { requests: [...requests, again], charges: [...right.ledger.charges, charge(again, 'ch_x')] } }),
    ).toEqual({
      chargedTwice: ['k0-1'],
      askedAgain: ['k0-1'],
    })
  })

  test('finds a message that was charged and then forgotten, and lets it pass when a person has it', () => {
    const applied = right.applied.filter(({ id }) => id !== 'k1-2')
    expect(found({ applied })).toEqual({ lost: ['k1-2'], chargedInSilence: ['k1-2'] })
    expect(found({ applied, attention: ['k1-2'] })).toEqual({})
  })

  test('finds what is lost without a charge, and lets pass what waits behind one that is with a person', () => {
    const without = (...ids: string[]) => ({
      applied: right.applied.filter(({ id }) => !ids.includes(id)),
      ledger: {
        requests: requests.filter(({ reference }) => !ids.includes(reference)),
        charges: right.ledger.charges.filter(({ reference }) => !ids.includes(reference)),
      },
    })
    expect(found(without('k1-2'))).toEqual({ lost: ['k1-2'] })
    expect(found(without('k0-1', 'k0-2'))).toEqual({ lost: ['k0-1', 'k0-2'] })
    expect(found({ ...without('k0-1', 'k0-2'), attention: ['k0-1'] })).toEqual({})
    expect(found({ ...without('k0-1', 'k0-2'), attention: ['k0-2'] })).toEqual({ lost: ['k0-1'] })
  })

  test('finds what was charged while it should have waited behind one that is with a person', () => {
    const applied = right.applied.filter(({ key }) => key !== 'k0')
    expect(found({ applied, attention: ['k0-1'] })).toEqual({ chargedInSilence: ['k0-2'] })
  })

  test('finds what was applied twice, before its turn, with a stranger for a charge, or although a person has it', () => {
    expect(found({ applied: [...right.applied, right.applied[3]!] })).toEqual({ appliedTwice: ['k1-2'] })
    expect(found({ applied: right.applied.toReversed() })).toEqual({ outOfOrder: ['k1-1', 'k0-1'] })
    const stranger = { ...right.applied[0]!, charge: 'ch_k1-1' }
    expect(found({ applied: [stranger, ...right.applied.slice(1)] })).toEqual({ appliedWithoutCharge: ['k0-1'] })
    expect(found({ attention: ['k0-1'] })).toMatchObject({ appliedAndInAttention: ['k0-1'] })
    expect(found({ attention: ['never-published'] })).toMatchObject({ neverPublished: ['never-published'] })
  })

  test('finds a new token while nothing had been refused, and lets it pass after a refusal or a void', () => {
    const lost = request(1, first!.id, { status: undefined, token: 'old' })
    const again = request(2, first!.id, { token: 'new' })
    const only = { orders: [first!], applied: right.applied.slice(0, 1) }
    const judge = (one: LedgerRequest, voided: string[] = []) =>
      found({ ...only, ledger: { requests: [one, again], charges: [charge(again)], voided } })
    expect(judge(lost)).toEqual({ askedAgain: ['k0-1'], freshToken: ['k0-1'] })
    expect(judge({ ...lost, status: 500 })).toEqual({ askedAgain: ['k0-1'], freshToken: ['k0-1'] })
    expect(judge({ ...lost, status: 409 })).toEqual({ askedAgain: ['k0-1'], freshToken: ['k0-1'] })
    expect(judge({ ...lost, status: 402 })).toEqual({})
    expect(judge(lost, ['old'])).toEqual({})
  })

  test('finds one token for two messages, and one that was refused for its body', () => {
    const shared = requests.map((one, index) => (index < 2 ? { ...one, token: 'same' } : one))
    expect(found({ ledger: { requests: shared } })).toEqual({ tokenMisused: ['k1-1'] })
    const misused = requests.map((one, index) => (index === 3 ? { ...one, status: 422 } : one))
    expect(found({ ledger: { requests: misused } })).toEqual({ tokenMisused: ['k1-2'] })
  })

  test('finds a request that did not wait for the answer to an earlier one of its key, and lets other keys be', () => {
    const slow = [{ ...requests[0]!, endedMs: 35 }, ...requests.slice(1)]
    expect(found({ ledger: { requests: slow } })).toEqual({ askedOutOfTurn: ['k0-2'] })
    const other = [requests[0]!, { ...requests[1]!, arrivedMs: 12 }, ...requests.slice(2)]
    expect(found({ ledger: { requests: other } })).toEqual({})
  })

  test('tells those in attention whose answer was lost from those that only the end of a process explains', () => {
    const lost = [request(1, first!.id, { status: undefined }), request(2, second!.id)]
    const attention = [first!.id, second!.id, 'k0-2']
    expect(unexplained({ ...right, ledger: { ...right.ledger, requests: lost }, attention })).toEqual(['k1-1', 'k0-2'])
  })
})
