/** Where a call can happen twice: what `explain` says of it, and that it is so. */
import { describe, expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { call, onefold } from '../../src/index.ts'
import type { CallHistory } from '../support/call-audit.ts'
import { violations } from '../support/call-audit.ts'
import { CallScene, runUnderKills } from '../support/call-scene.ts'
import type { Rule } from '../support/call-workload.ts'
import { callGroup, orders, someOrders } from '../support/call-workload.ts'
import type { Behaviour } from '../support/payment-ledger.ts'

/** Orders by what the first request for each meets with, at a provider that honours no tokens. */
const behaviours = ['lose-answer', 'charge-then-500', 'never', 'late', 'slow'] as const satisfies readonly Behaviour[]
const id = (behaviour: (typeof behaviours)[number]): string => `k${behaviours.indexOf(behaviour)}-1`

async function history(rule: Rule): Promise<CallHistory> {
  await using scene = await CallScene.start({
    orders: someOrders(behaviours.length, 1),
    provider: {
      tokens: 'ignored',
      plans: Object.fromEntries(behaviours.map((behaviour) => [id(behaviour), [behaviour]])),
      lateMs: 4_000,
    },
    worker: { rule, timeoutMs: 1_000 },
  })
  await runUnderKills(scene, { seed: 1, workers: 1, passes: 1 })
  return await scene.history()
}

function explained(whenUnknown: 'repeat' | 'ask-person' | (() => 'unknown')) {
  const app = onefold({ database: sqlite('never-opened.db') })
  app.consume(orders, { group: callGroup, calls: { charge: call(() => 1, { whenUnknown }) }, apply: () => undefined })
  const [guarantee] = app.explain().consumers[0]?.calls ?? []
  return { doesNotHold: guarantee?.doesNotHold.join(' '), weakened: guarantee?.weakenedBy.map(({ says }) => says).join(' ') }
}

describe('at a provider that honours no tokens', () => {
  test("'repeat': twice whenever an answer was lost, as `explain` says", async () => {
    const doubled = await history('repeat')
    expect(violations(doubled, ['askedAgain'])).toEqual({
      chargedTwice: expect.toSatisfy((ids: string[]) =>
        isSame(ids, [id('lose-answer'), id('charge-then-500'), id('late'), id('slow')]),
      ),
    })
    expect(explained('repeat')).toMatchObject({
      doesNotHold: expect.stringContaining('Once, where the other side does not honour tokens'),
      weakened: expect.stringContaining('from the request until the commit that records its answer'),
    })
  })

  test('a probe that only looks: twice only when the request acts after the probe has answered, as `explain` says', async () => {
    const doubled = await history('probe-only')
    expect(violations(doubled, ['askedAgain'])).toEqual({
      chargedTwice: expect.toSatisfy((ids: string[]) => isSame(ids, [id('late'), id('slow')])),
    })
    expect(explained(() => 'unknown')).toMatchObject({
      doesNotHold: expect.stringContaining("a request may act after the probe has answered 'did-not-happen'"),
      weakened: expect.stringContaining("from the probe's answer until that request can act no more"),
    })
  })

  test('a probe that voids: once', async () => {
    expect(violations(await history('probe-and-void'))).toEqual({})
  })

  test("'ask-person': at most once, and a person has each of them", async () => {
    const { attention, ...rest } = await history('ask-person')
    expect(attention.toSorted()).toEqual(behaviours.map(id))
    expect(violations({ attention, ...rest })).toEqual({})
    expect(explained('ask-person').weakened).toBe('')
  })
})

const isSame = (left: readonly string[], right: readonly string[]): boolean =>
  left.toSorted().join(' ') === right.toSorted().join(' ')

test('a probe that cannot tell, to the last attempt: a person has exactly those that it could not tell of', async () => {
  const all = someOrders(6, 1)
  const doubtful: Record<string, readonly Behaviour[]> = { 'k1-1': ['lose-answer'], 'k3-1': ['never'], 'k5-1': ['late'] }
  await using scene = await CallScene.start({
    orders: all,
    provider: { plans: doubtful, lookupsRefused: 1, troubles: 1_000, lateMs: 4_000 },
    worker: { rule: 'probe-and-void', timeoutMs: 1_000, maxAttempts: 4, backoffMs: 1 },
  })
  await runUnderKills(scene, { seed: 1, workers: 1, passes: 1 })
  const { attention, ...rest } = await scene.history()
  expect(attention.toSorted()).toEqual(Object.keys(doubtful))
  expect(violations({ attention, ...rest })).toEqual({})
})
