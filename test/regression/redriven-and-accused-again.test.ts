import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { prove } from '../../src/testing/index.ts'

/**
 * At least once: a message that ended its process whenever it ran was given up, and its process killed just then, before the start
 * mark was removed by a commit of its own. The handler was mended and the message redriven: it was accused again, by the old mark,
 * without being run. `prove` found it.
 */
const accusedAgain = '12:1,139:1'

const orders = topic<{ id: string }>('orders', { id: (order) => order.id })

function application() {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, { group: 'send', semantics: 'at-least-once', receive: () => undefined })
  return app
}

test('at least once: a message given up for its crashes is redriven: what it did before the mending is forgotten', async () => {
  const { replayed, text } = await prove(application, {
    workload: [{ topic: orders, data: { id: 'a' } }],
    workers: 1,
    replay: accusedAgain,
  })
  // The second place was the commit that is no longer there.
  expect(replayed?.asked, text).toBe(accusedAgain)
  expect(text).toContain('No violation')
})

test('the same, killed at each of the commits around the one that gives it up', async () => {
  for (let place = 122; place < 142; place++)
    for (const fault of [1, 2]) {
      const vector = `12:1,${place}:${fault}`
      const { text } = await prove(application, { workload: [{ topic: orders, data: { id: 'a' } }], workers: 1, replay: vector })
      expect(text, vector).toContain('No violation')
    }
})
