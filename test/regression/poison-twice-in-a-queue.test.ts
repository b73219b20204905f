import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { prove } from '../../src/testing/index.ts'

/**
 * At least once, behind a broker that holds a message twice: the handler ends its process whenever it runs for it. The first one was
 * given up, and before the broker heard of that the second ended the process: all began with the first again, for ever. `prove`
 * found it.
 */
const forEver = '17:1'

const orders = topic<{ id: string }>('orders', { id: (order) => order.id, order: 'none' })

function application() {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, { group: 'send', semantics: 'at-least-once', receive: () => undefined })
  return app
}
const twice = { topic: orders, data: { id: 'a' } }

test('a message that ends its process and stands twice in a queue: both are given up, one after the other', async () => {
  const { replayed, text } = await prove(application, { workload: [twice, twice], broker: 'queue', workers: 1, replay: forEver })
  expect(replayed, text).toEqual({ asked: forEver, taken: forEver })
})
