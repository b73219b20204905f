import { expect, onTestFinished, test } from 'vitest'
import { identityOf } from '../../../src/message.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { minuteMs, published, WindowDatabase } from '../../support/window-database.ts'

const subscription = { topic: 't', group: 'g' }

async function opened(options: Parameters<typeof WindowDatabase.open>[0] = {}): Promise<WindowDatabase> {
  const file = await WindowDatabase.open(options)
  onTestFinished(() => file.close())
  return file
}

const lease = { name: 't/g/0', epoch: 1n, owner: 1n, crashes: 0 }

/** A message received, with a journal row; parked where it is said so. */
async function called(file: WindowDatabase, id: string, parked = false, received = true): Promise<void> {
  const envelope = published(id, file.nowMs)
  if (received) await file.claim(envelope)
  await file.write(async (session) => {
    const claim = { lease, process: nodeRuntime().process, nowMs: file.nowMs }
    await session.calls.intend(
      subscription,
      identityOf(envelope),
      [{ name: 'mail', round: 1, rule: 'repeat', token: `token ${id}` }],
      claim,
    )
    if (parked)
      await session.parked.park(
        subscription,
        '0',
        [{ envelope, state: 'attention', attempts: 1, crashes: 0, dueMs: 0, lane: undefined }],
        file.nowMs,
      )
  })
}

const journaled = (file: WindowDatabase, id: string): Promise<number> =>
  file.database.read(async (stores) => (await stores.calls.history(subscription, `s/${id}`)).length)

test('the journal of a message goes when its identity is forgotten, and not before', async () => {
  const file = await opened({ ms: 16 * minuteMs })
  await called(file, 'first')
  await file.run(4 * minuteMs)
  await called(file, 'second')
  await file.run(8 * minuteMs)
  expect([await journaled(file, 'first'), await journaled(file, 'second')]).toEqual([1, 1])
  await file.run(8 * minuteMs)
  expect([await journaled(file, 'first'), await journaled(file, 'second')]).toEqual([0, 1])
  await file.run(8 * minuteMs)
  expect([await journaled(file, 'first'), await journaled(file, 'second')]).toEqual([0, 0])
})

test('as long as the topic, at publish, remembers the identity, the journal stays although the group has forgotten it', async () => {
  const file = await opened({ maxIds: 1 })
  await file.write(async (session) => {
    const { windows } = session as unknown as { windows: { claim(topic: string, group: string, all: unknown[]): unknown } }
    windows.claim('t', '', [published('at publish', file.nowMs)])
  })
  await called(file, 'a')
  await file.run(4 * minuteMs)
  await file.claim(published('b', file.nowMs))
  await file.run(4 * minuteMs)
  expect(await file.claim(published('a', 0))).toEqual(['too-old'])
  expect(await journaled(file, 'a')).toBe(1)
})

test('the journal of a message that waits for a person stays, however long that takes', async () => {
  const file = await opened({ ms: 8 * minuteMs })
  await called(file, 'waits', true)
  await called(file, 'done')
  await file.run(30 * minuteMs)
  expect([await journaled(file, 'waits'), await journaled(file, 'done')]).toEqual([1, 0])
})

test('many rows go in small ranges', async () => {
  const file = await opened({ ms: 8 * minuteMs })
  for (let batch = 0; batch < 25; batch++)
    await Promise.all(Array.from({ length: 100 }, (_, number) => called(file, `${batch}-${number}`)))
  await file.run(8 * minuteMs)
  file.clock.pass(3 * minuteMs)
  const sizes: number[] = []
  const rows = (): Promise<number> =>
    file.database.read(async (stores) => {
      const { statements } = stores as unknown as { statements: { sql(text: string): { get<R>(): R } } }
      return statements.sql('select count(*) as n from {p}call').get<{ n: number }>().n
    })
  for (let before = await rows(); before > 0; ) {
    if (!(await file.database.maintain({ nowMs: file.nowMs }))) await file.run(minuteMs)
    const after = await rows()
    if (after < before) sizes.push(before - after)
    before = after
  }
  expect(Math.max(...sizes)).toBe(1_000)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(2_500)
})

test('where no identities are remembered here at all, the journal stays for the time of the window', async () => {
  const file = await opened({ ms: 16 * minuteMs })
  await called(file, 'a', false, false)
  await file.run(10 * minuteMs)
  expect(await journaled(file, 'a')).toBe(1)
  await file.run(8 * minuteMs)
  expect(await journaled(file, 'a')).toBe(0)
})
