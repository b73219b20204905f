import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { call, onefold, topic } from '../../src/index.ts'
import type { ProveOptions } from '../../src/testing/index.ts'
import { prove } from '../../src/testing/index.ts'

interface Order {
  readonly id: string
}

/**
 * The commit that marks a parked message as 'calling', with its intents, took effect, and its answer was an error. The repeat of
 * that commit asked for a message that was still 'waiting', found none, and left it to others: it stayed 'calling', and its key
 * held, as long as its owner lived. `prove` found it.
 */
const strands = '0:1,23:4'

const orders = topic<Order>('orders', { id: (order) => order.id })
const application = () => {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, {
    group: 'charge',
    maxCrashes: 100,
    calls: { charge: call((order: Order) => ({ id: order.id })) },
    apply: (order, { tx, calls }) => void tx.run('insert into charged values (?, ?)', order.id, calls.charge.id),
  })
  return app
}
const options: ProveOptions = {
  setup: (database) => database.exec('create table charged (id text primary key, charge text not null)'),
  workload: [{ topic: orders, data: { id: 'o1' } }],
}

test('consumer: the commit of a call’s intent takes effect and answers with an error: the call is made, once', async () => {
  const { replayed, text } = await prove(application, { ...options, replay: strands })
  expect(replayed, text).toEqual({ asked: strands, taken: strands })
})

test('consumer with a call: the first 150 placements of one and two faults strand nothing', async () => {
  const { schedules } = await prove(application, { ...options, maxSchedules: 150 })
  expect(schedules).toBe(150)
})
