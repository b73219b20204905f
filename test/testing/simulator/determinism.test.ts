import { expect, test } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import type { App } from '../../../src/index.ts'
import { call, onefold, topic } from '../../../src/index.ts'
import { replaceGlobals } from '../../../src/runtime/replaced-globals.ts'
import { surroundings } from '../../../src/testing/simulator/surroundings.ts'
import { RandomSchedules } from './support/random-schedule.ts'

/** For a longer look: ONEFOLD_SEEDS=10000. */
const seeds = Number(process.env.ONEFOLD_SEEDS ?? 500)

interface Order {
  readonly id: string
}
const orders = topic<Order>('orders', { id: (order) => order.id })
const marks = topic<{ order: string; at: number; chance: number }>('marks')

/** What it publishes, and when, depends on the clock, on chance and on a timer: a difference in any of them is in the history. */
function application(): App<never> {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, {
    group: 'marks',
    calls: { charge: call((order: Order) => ({ id: order.id })) },
    async apply(order, { publish }) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10))
      publish(marks, { order: order.id, at: Date.now(), chance: Math.random() })
    },
  })
  return app as App<never>
}

test(`${seeds} seeds: a schedule that is run again has the same history, whatever ran in between`, {
  timeout: 60_000 + seeds * 100,
}, async () => {
  const options = { workload: [{ topic: orders, data: { id: 'o1' } }] }
  using globals = replaceGlobals(surroundings)
  using one = new RandomSchedules(application, options)
  using other = new RandomSchedules(application, options)
  const histories = new Map<number, string>()
  for (let seed = 0; seed < seeds; seed++) histories.set(seed, JSON.stringify((await one.run(seed)).history))
  // Backwards, and in a database that other schedules have been through.
  for (let seed = seeds - 1; seed >= 0; seed--) {
    const { history } = await other.run(seed)
    expect(JSON.stringify(history) === histories.get(seed), `seed ${seed}`).toBe(true)
  }
  // Else little would have been compared.
  expect(new Set(histories.values()).size).toBeGreaterThan(Math.min(seeds / 4, 100))
  expect(globals).toBeDefined()
})
