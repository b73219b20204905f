import { expect, test } from 'vitest'
import { readRows } from '../support/torture-audit.ts'
import { publishedFolder, Scene } from '../support/torture-scene.ts'
import { supervise } from '../support/torture-supervisor.ts'
import { someOrders } from '../support/torture-workload.ts'

/**
 * Two partitions of one process run their suspects at the same time: the one whose start was marked when the other ended
 * the process was accused of it, and went to attention as well.
 */
test('a message that ends its process is accused alone, not with its neighbour in the next partition', {
  timeout: 60_000,
}, async () => {
  const orders = someOrders(6, 10)
  const scene = new Scene(orders, { folder: await publishedFolder(orders) })
  const observer = scene.observer()
  const accused = async (): Promise<string[]> => (await observer.attention.list()).map((item) => item.envelope.id)
  // All but the eight of the poison's key: it and those behind it.
  await supervise(
    scene,
    { poison: { id: 'k0-3', kind: 'abort' } },
    async () => (await accused()).length > 1 || readRows(scene.folder).applied.length === orders.length - 8,
  )
  expect(await accused()).toEqual(['k0-3'])
  await observer.stop()
})
