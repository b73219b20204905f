import { describe, expect, test } from 'vitest'
import { consumePoints, publishPoints, receivePoints, relayPoints } from '../src/points.ts'
import type { Rows } from './support/torture-audit.ts'
import { auditRows, clean } from './support/torture-audit.ts'
import { brokenPromises, killAtPoints, killPlans } from './support/torture-kills.ts'
import { someOrders } from './support/torture-workload.ts'

/** The full run, with hundreds of kills, is test/torture/kill-points.test.ts. */
test('workers killed once at every named step: nothing lost, nothing twice, order per key kept', {
  timeout: 60_000,
}, async () => {
  const plans = killPlans({ often: 1, seldom: 1 })
  const named = new Set([...publishPoints, ...consumePoints, ...receivePoints, ...relayPoints])
  expect(new Set(plans.map((plan) => plan.point))).toEqual(named)

  const chains = await killAtPoints(plans, { seed: 1, orders: someOrders(4, 5) })
  expect(brokenPromises(chains)).toEqual([])
  expect(chains.reduce((sum, chain) => sum + chain.killedAt.length, 0)).toBe(plans.length)
})

describe('the judge of those runs', () => {
  const expected = someOrders(2, 2)
  const [first, , third] = expected
  const right: Rows = {
    applied: expected,
    heard: expected,
    totals: [
      { key: 'k0', orders: 2, sum: 3 },
      { key: 'k1', orders: 2, sum: 3 },
    ],
    placed: ['k1-1', 'k1-2'],
    receipts: expected.map((order) => `accepted ${order.id}`),
  }
  const found = (rows: Partial<Rows>) => {
    const audit = auditRows({ ...right, ...rows }, expected)
    return Object.fromEntries(Object.entries(audit).filter(([, ids]) => ids.length > 0))
  }

  test('accuses nobody when all is right', () => {
    expect(auditRows(right, expected)).toEqual(clean)
  })

  test('finds what was lost although it was acknowledged, and what was heard of it all the same', () => {
    const applied = expected.slice(1)
    const totals = [{ key: 'k0', orders: 1, sum: 2 }, right.totals[1]!]
    expect(found({ applied, totals, heard: applied })).toEqual({ lost: ['k0-1'] })
    expect(found({ applied, totals })).toEqual({ lost: ['k0-1'], heardInVain: ['k0-1'] })
  })

  test("finds a publisher's own row without its message, and the message without the row", () => {
    const applied = expected.filter((order) => order.id !== 'k1-2')
    const totals = [right.totals[0]!, { key: 'k1', orders: 1, sum: 1 }]
    expect(found({ applied, totals, heard: applied })).toEqual({ lost: ['k1-2'] })
    expect(found({ placed: ['k1-1'] })).toEqual({ placedApart: ['k1-2'] })
  })

  test('finds what was applied twice, by its row and by the total', () => {
    expect(found({ applied: [...expected, first!] })).toEqual({ appliedTwice: ['k0-1'], totalsWrong: ['k0'] })
  })

  test('finds an order of which no summary was sent, and one of which two were', () => {
    expect(found({ heard: [...expected.slice(1), third!] })).toEqual({ unheard: ['k0-1'], heardTwice: ['k0-2'] })
  })

  test('finds what overtook an earlier one of its key, and lets other keys overtake', () => {
    const overtaken = [expected[2]!, expected[0]!, expected[1]!, expected[3]!]
    const keysApart = [expected[1]!, expected[0]!, expected[3]!, expected[2]!]
    expect(found({ applied: overtaken })).toEqual({ outOfOrder: ['k0-1'] })
    expect(found({ heard: overtaken })).toEqual({ heardOutOfOrder: ['k0-1'] })
    expect(found({ applied: keysApart })).toEqual({})
  })

  test('finds an effect that nobody published, and an identity accepted twice', () => {
    const stranger = { id: 'x', key: 'k0', number: 9 }
    const totals = [{ key: 'k0', orders: 3, sum: 12 }, right.totals[1]!]
    expect(found({ applied: [...expected, stranger], heard: [...expected, stranger], totals })).toEqual({ neverPublished: ['x'] })
    expect(found({ receipts: [...right.receipts, 'accepted k0-1', 'duplicate k0-2'] })).toEqual({ acceptedTwice: ['k0-1'] })
  })
})
