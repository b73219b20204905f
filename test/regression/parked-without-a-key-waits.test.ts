import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { prove } from '../../src/testing/index.ts'

/**
 * A parked message without a key holds no lane, and only held lanes made the loop look for parked messages when it had parked
 * some. The next attempt came when the database happened to tell of another commit: up to 100 ms late on SQLite, and never where a
 * database tells each commit once and no more than it must. `prove` found it when it began to tell so.
 */
const clicks = topic<{ id: string }>('clicks', { id: (click) => click.id, order: 'none' })
const options = {
  setup: (database: { exec(sql: string): void }) => database.exec('create table counted (id text primary key)'),
  workload: [{ topic: clicks, data: { id: 'a' } }],
  deviations: 1,
  maxSchedules: 40,
  budgetMs: 60_000,
}
const failsTwice = { group: 'count', inlineAttempts: 1, maxAttempts: 4, backoffMs: 1, maxBackoffMs: 5 } as const

test('apply: a message without a key fails and is parked while nothing else goes on: it is attempted again', async () => {
  const { schedules, text } = await prove(() => {
    const app = onefold({ database: sqlite('nowhere.db') })
    app.consume(clicks, {
      ...failsTwice,
      apply({ id }, { tx, attempt }) {
        if (attempt < 3) throw new Error('not yet')
        tx.run('insert into counted values (?)', id)
      },
    })
    return app
  }, options)
  expect(schedules, text).toBe(40)
})
