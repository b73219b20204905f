import { expect, test } from 'vitest'
import { callPoints, consumePoints } from '../../src/points.ts'
import { unexplained, violations } from '../support/call-audit.ts'
import { CallScene, runUnderKills } from '../support/call-scene.ts'
import { someOrders } from '../support/call-workload.ts'

/** The full run, with a thousand schedules, is test/torture/calls.test.ts. */
test('workers killed at every named step around their calls: charged once each, applied once each, order per key kept', {
  timeout: 60_000,
}, async () => {
  const points = [...consumePoints, ...callPoints]
  await using scene = await CallScene.start({
    orders: someOrders(40, 2),
    provider: {
      odds: { 'lose-answer': 0.1, never: 0.05, late: 0.05, slow: 0.05, 'answer-twice': 0.1, decline: 0.1, unavailable: 0.1 },
      meanwhile: 'conflict',
      lateMs: 200,
      workMs: 20,
    },
    worker: { rule: 'repeat', timeoutMs: 150, secondCallMs: 80 },
  })
  const { killed } = await runUnderKills(scene, { seed: 1, workers: 2, points, passes: 2 })
  expect(violations(await scene.history(), ['askedAgain'])).toEqual({})
  expect(new Set(killed.map((where) => where.split(' ')[0]))).toEqual(new Set(points))
})

test("killed around calls that only a person may settle: none is made again, and each that may have happened is the person's", {
  timeout: 60_000,
}, async () => {
  const concurrency = 5
  const points = [...callPoints, 'consume:guarded', 'consume:applied'] as const
  await using scene = await CallScene.start({
    orders: someOrders(50, 1),
    provider: { odds: { 'lose-answer': 0.1, never: 0.05, 'charge-then-500': 0.05, decline: 0.1, unavailable: 0.1 }, workMs: 20 },
    worker: { rule: 'ask-person', timeoutMs: 150, secondCallMs: 80, concurrency },
  })
  const { killed } = await runUnderKills(scene, { seed: 2, workers: 2, points, passes: 3 })
  const history = await scene.history()
  expect(violations(history)).toEqual({})
  expect(history.attention.length).toBeGreaterThan(0)
  // Not applied and with a person is the same set: `violations` says that neither is without the other.
  expect(history.applied.length + history.attention.length).toBe(history.orders.length)
  expect(unexplained(history).length).toBeLessThanOrEqual(killed.length * concurrency)
})
