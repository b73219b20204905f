import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { temporaryFolder } from '../support/temporary.ts'

/** What a handler hung on its `signal` and did not take away stayed in memory until the app stopped, message by message. */
test('handlers that listen to their signal and never stop: what they hold is garbage when they have ended', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const held: WeakRef<object>[] = []
  const orders = topic<{ id: number }>('orders', { id: ({ id }) => String(id) })
  await using app = onefold({ database: sqlite(join(temporaryFolder(), 'app.db')) })
  app.consume(orders, 'ship', (_order, { signal }) => {
    const request = { cancelled: false }
    held.push(new WeakRef(request))
    signal.addEventListener('abort', () => {
      request.cancelled = true
    })
  })
  await app.start()
  for (let id = 0; id < 50; id++) await app.publish(orders, { id })
  await app.idle()
  expect(held.length).toBe(50)
  let left = held.length
  for (let turn = 0; turn < 20 && left > 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
    left = held.filter((one) => one.deref() !== undefined).length
  }
  expect(left).toBeLessThanOrEqual(5)
})
