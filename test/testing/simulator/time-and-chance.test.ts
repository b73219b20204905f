import { randomBytes, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { prove } from '../../../src/testing/index.ts'

const orders = topic<{ id: string }>('orders', { id: (order) => order.id })
const told = topic<{ order: string; at: string; trace: string; lot: number }>('told')

/** Correct: what it writes and publishes has times and random numbers in it, as a real one has. */
function application() {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, 'ship', (order, { tx, publish }) => {
    tx.run('insert into shipped values (?, ?, ?)', order.id, new Date().toISOString(), randomBytes(4).toString('hex'))
    publish(
      told,
      { order: order.id, at: new Date().toISOString(), trace: randomUUID(), lot: Math.random() },
      { id: randomUUID() },
    )
  })
  return app
}
const options = {
  workload: ['a', 'b', 'a'].map((id) => ({ topic: orders, data: { id } })),
  setup: (database: { exec(sql: string): void }) =>
    database.exec('create table shipped (id text primary key, at text, mark text)'),
  maxSchedules: 120,
}

test('times and random numbers in rows, bodies and ids accuse nobody, and the certificate says what was not compared', async () => {
  const { schedules, notCompared } = await prove(application, options)
  expect(schedules).toBe(120)
  expect(notCompared.toSorted()).toEqual(['shipped.at', 'shipped.mark', 'topic told.at', 'topic told.lot', 'topic told.trace'])
})

test('what does not depend on them is still compared: an order that is told twice is noticed', async () => {
  const twice = () => {
    const app = application()
    app.consume(told, 'tell', () => undefined)
    let first = true
    app.consume(orders, 'hasty', (order, { publish }) => {
      if (first) publish(told, { order: order.id, at: '', trace: '', lot: 0 })
      first = false
    })
    return app
  }
  await expect(prove(twice, options)).rejects.toThrow('Violated: same end')
})
