import { expect, test } from 'vitest'
import { readRows } from '../support/torture-audit.ts'
import { publishedFolder, Scene } from '../support/torture-scene.ts'
import { deathsAllowed, supervise } from '../support/torture-supervisor.ts'
import { someOrders } from '../support/torture-workload.ts'

/**
 * A broker may hand over fewer messages than it has. That was taken for the end of those that could have killed the last
 * owner, the count of deaths began anew, and the poison killed 25 processes instead of five.
 */
test('a message that ends its process, behind a broker that hands over short batches: its deaths are counted on', {
  timeout: 60_000,
}, async () => {
  const orders = someOrders(6, 10)
  const topology = 'test-broker'
  const scene = new Scene(orders, { topology, folder: await publishedFolder(orders, { topology }) })
  const observer = scene.observer()
  const accused = async (): Promise<string[]> => (await observer.attention.list()).map((item) => item.envelope.id)
  const deaths = await supervise(
    scene,
    { poison: { id: 'k1-1', kind: 'abort' } },
    async () => (await accused()).length > 0 && readRows(scene.folder).applied.length >= orders.length - 10,
  )
  expect(await accused()).toEqual(['k1-1'])
  expect(deaths.length).toBeLessThanOrEqual(deathsAllowed)
  await observer.stop()
})
