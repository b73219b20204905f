import { expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

const own = topic<number>('own')
const others = topic<number>('others')

test('whoever commits without a pause still hears of others’ commits, and does so again once it rests', async () => {
  const file = new TemporaryFile('')
  const [busy, other] = [file.app(), file.app()]
  const heard: number[] = []
  busy.consume(others, 'listener', (data) => void heard.push(data))
  await busy.start()
  await other.status()
  let publishing = true
  let published = 0
  const publisher = (async () => {
    for (; publishing; published++) await busy.publish(own, published, { id: `own-${published}` })
  })()
  await until(() => published > 50, 'a steady row of transactions', 5_000)
  for (let index = 0; index < 5; index++) {
    await other.publish(others, index, { id: String(index) })
    await until(() => heard.includes(index), `message ${index} heard`, 5_000)
    const before = published
    await until(() => published > before + 20, 'a steady row of transactions again', 5_000)
  }
  publishing = false
  await publisher
  await busy.idle()
  for (let index = 5; index < 10; index++) {
    await other.publish(others, index, { id: String(index) })
    await until(() => heard.includes(index), `message ${index} heard`, 5_000)
  }
  expect(heard.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})
