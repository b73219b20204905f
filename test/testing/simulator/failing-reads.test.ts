import { expect, test } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { call, onefold, topic } from '../../../src/index.ts'
import type { ProveOptions } from '../../../src/testing/index.ts'
import { prove } from '../../../src/testing/index.ts'

const orders = topic<{ id: string }>('orders', { id: ({ id }) => id })
const application = () => {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, {
    group: 'ship',
    calls: { mail: call(() => 1) },
    apply: ({ id }, { tx }) => void tx.run('insert into shipped values (?)', id),
  })
  return app
}
const options: ProveOptions = {
  setup: (database) => database.exec('create table shipped (id text primary key) strict'),
  workload: [{ topic: orders, data: { id: 'a' } }],
  deviations: 1,
  maxSchedules: 200,
  budgetMs: 60_000,
}

test('every kind of read that moves messages fails, at once or after a step; whoever makes no mistake is not accused', {
  timeout: 60_000,
}, async () => {
  const { coverage, exhaustedDeviations } = await prove(application, options)
  expect(exhaustedDeviations).toBe(1)
  for (const what of ['the log', 'checkpoints', 'what is parked', 'start marks', 'the journal of calls'])
    expect(coverage[`read ${what} · fails`], what).toBeGreaterThan(0)
  expect(coverage['reads · answered later']).toBeGreaterThan(0)
  expect(Object.keys(coverage).join()).not.toContain('read ownership')
})

test('reads that only keep house fail where every commit may', { timeout: 60_000 }, async () => {
  const { coverage } = await prove(application, { ...options, everyCommit: true, maxSchedules: 400 })
  expect(coverage['read ownership · fails']).toBeGreaterThan(0)
})

test('a broker elsewhere loses its connection when it hands over, and when it is told what is done', {
  timeout: 60_000,
}, async () => {
  for (const broker of ['log', 'queue'] as const) {
    const { coverage } = await prove(application, { ...options, broker })
    for (const what of ['receive', 'acknowledge'])
      expect(coverage[`${what} orders/ship · the connection is lost`], `${broker}: ${what}`).toBeGreaterThan(0)
    expect(coverage['read the outbox · fails'], broker).toBeGreaterThan(0)
  }
})
