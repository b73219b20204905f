import { expect, test } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { prove } from '../../../src/testing/index.ts'

const orders = topic<{ id: string }>('orders', { id: (order) => order.id, key: () => 'one' })
const notes = topic<{ text: string }>('notes')

test('a handler whose publish is refused, for its id was used with other data, has not applied its message: nobody is accused', async () => {
  const application = () => {
    const app = onefold({ database: sqlite('nowhere.db') })
    app.consume(orders, {
      group: 'note',
      maxAttempts: 2,
      apply: (order, { publish }) => publish(notes, { text: order.id }, { id: 'the only one' }),
    })
    return app
  }
  const certificate = await prove(application, {
    workload: ['a', 'b'].map((id) => ({ topic: orders, data: { id } })),
    maxSchedules: 80,
  })
  expect(certificate.schedules).toBe(80)
  expect(certificate.withoutFaults).toMatchObject({ attention: 1, first: expect.stringContaining('was published before') })
})
