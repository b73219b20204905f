import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { call, onefold, topic } from '../../src/index.ts'
import { prove } from '../../src/testing/index.ts'

/**
 * The commit that hands a message to a person took effect, and its answer was an error. The repeat of that commit raised the
 * message to attention a second time: whoever settled the first item left another one open, of a message that was done. `prove`
 * found it.
 */
const raisesTwice = '20:5,28:4'

const orders = topic<{ id: string }>('orders', { id: (order) => order.id })

function application() {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, {
    group: 'ship',
    calls: { mail: call(() => 1, { whenUnknown: 'ask-person' }) },
    apply: (order, { tx }) => void tx.run('insert into shipped values (?)', order.id),
  })
  return app
}

test('a commit that raises a message to attention takes effect and answers with an error: it is raised once', async () => {
  const { replayed, text } = await prove(application, {
    setup: (database) => database.exec('create table shipped (id text)'),
    workload: [{ topic: orders, data: { id: 'a' } }],
    replay: raisesTwice,
  })
  expect(replayed, text).toEqual({ asked: raisesTwice, taken: raisesTwice })
})
