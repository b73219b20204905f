import { expect, test } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { TemporaryFile } from '../../support/temporary.ts'

const subscription = { topic: 'orders', group: 'ship' }

test('a start is counted once in each epoch: its repeat, after a COMMIT that answered with an error, is the same start', async () => {
  const database = sqlite(new TemporaryFile('').path)
  await database.open({ runtime: nodeRuntime(), dedupWindow: { ms: 60_000, maxIds: 1_000 } })
  const begin = (epoch: bigint) =>
    database.write((session) => session.startMarks.begin(subscription, '0', 'shop/a', { epoch }), { what: 'begin' })
  await database.write(
    (session) => session.groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' }),
    {
      what: 'declare',
    },
  )
  expect([await begin(1n), await begin(1n), await begin(2n), await begin(2n), await begin(5n)]).toEqual([1, 1, 2, 2, 3])
  await database.write((session) => session.startMarks.clear(subscription, '0', 'shop/a'), { what: 'clear' })
  expect(await begin(5n)).toBe(1)
  await database.close()
})
