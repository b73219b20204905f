import { expect, test } from 'vitest'
import { violations } from '../support/call-audit.ts'
import { CallScene, runUnderKills } from '../support/call-scene.ts'
import { someOrders } from '../support/call-workload.ts'
import type { Behaviour } from '../support/payment-ledger.ts'

/**
 * The first request charged and its answer was lost. The repeat, under the same token, was refused for a reason of its own:
 * that was taken for a refusal of the call, and the next request, under a new token, charged again.
 */
test.for<{ refusal: string; behaviours: Behaviour[] }>([
  { refusal: 'the provider is down', behaviours: ['lose-answer', 'unavailable'] },
  { refusal: 'a request with this token is being carried out', behaviours: ['slow', 'answer'] },
])('answer lost, then the repeat is refused ($refusal): the same token again, charged once', async ({ behaviours }) => {
  await using scene = await CallScene.start({
    orders: someOrders(1, 1),
    provider: { plans: { 'k0-1': behaviours }, meanwhile: 'conflict', lateMs: 200 },
    worker: { rule: 'repeat', timeoutMs: 100 },
  })
  await runUnderKills(scene, { seed: 1, workers: 1, passes: 1 })
  const { ledger, ...history } = await scene.history()
  expect(violations({ ledger, ...history }, ['askedAgain'])).toEqual({})
  expect(ledger.requests.length).toBeGreaterThan(2)
  expect(ledger.charges.length).toBe(1)
})

test('a probe finds nothing, the repeat is refused, and the request that was late arrives: the same token again, charged once', async () => {
  await using scene = await CallScene.start({
    orders: someOrders(1, 1),
    provider: { plans: { 'k0-1': ['late', 'unavailable'] }, lateMs: 400 },
    worker: { rule: 'probe-only', timeoutMs: 100 },
  })
  await runUnderKills(scene, { seed: 1, workers: 1, passes: 1 })
  const { ledger, ...history } = await scene.history()
  expect(violations({ ledger, ...history }, ['askedAgain'])).toEqual({})
  expect(new Set(ledger.requests.map(({ token }) => token)).size).toBe(1)
})
