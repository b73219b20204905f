import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { call, onefold, topic } from '../../src/index.ts'
import { prove } from '../../src/testing/index.ts'

/**
 * A process was killed with a message's call under way. `app.idle()` of another said that nothing was left to do, until it took that
 * message over 20 ms later. `prove` found it.
 */
const saysIdle = '2:1,17:2'

const orders = topic<{ id: string }>('orders', { id: (order) => order.id })

function application() {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, {
    group: 'ship',
    calls: { mail: call(() => 1) },
    apply: (order, { tx }) => void tx.run('insert into shipped values (?)', order.id),
  })
  return app
}

test('idle() while a message with a call is in the hands of another process, or of one that is gone: it is not idle', async () => {
  const { replayed, text } = await prove(application, {
    setup: (database) => database.exec('create table shipped (id text)'),
    workload: [{ topic: orders, data: { id: 'a' } }],
    replay: saysIdle,
  })
  expect(replayed, text).toEqual({ asked: saysIdle, taken: saysIdle })
})
