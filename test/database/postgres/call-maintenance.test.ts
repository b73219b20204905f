import { expect, test, vi } from 'vitest'
import { topic } from '../../../src/index.ts'
import { identityOf } from '../../../src/message.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { PostgresWindows, subscription } from '../../support/postgres-windows.ts'
import { minuteMs, published } from '../../support/window-database.ts'

vi.setConfig({ testTimeout: 30_000 })

const lease = { name: 't/g/0', epoch: 1n, owner: 1n, crashes: 0 }
const open = PostgresWindows.open

/** A message received, with a journal row; parked where it is said so. */
async function called(process: PostgresWindows, id: string, { parked = false, received = true } = {}): Promise<void> {
  const envelope = published(id, process.nowMs)
  if (received) await process.claim(envelope)
  await process.write(async (session) => {
    const claim = { lease, process: nodeRuntime().process, nowMs: process.nowMs }
    const intent = { name: 'mail', round: 1, rule: 'repeat', token: `token ${id}` } as const
    await session.calls.intend(subscription, identityOf(envelope), [intent], claim)
    if (!parked) return
    const message = { envelope, state: 'attention', attempts: 1, crashes: 0, dueMs: 0, lane: undefined } as const
    await session.parked.park(subscription, '0', [message], process.nowMs)
  })
}
const journaled = (process: PostgresWindows, id: string) =>
  process.database.read(async (stores) => (await stores.calls.history(subscription, `s/${id}`)).length)

test('the journal of a message goes when its identity is forgotten, and not before', async () => {
  const process = await open({ ms: 16 * minuteMs })
  await called(process, 'first')
  await process.run(4 * minuteMs)
  await called(process, 'second')
  await process.run(8 * minuteMs)
  expect([await journaled(process, 'first'), await journaled(process, 'second')]).toEqual([1, 1])
  await process.run(8 * minuteMs)
  expect([await journaled(process, 'first'), await journaled(process, 'second')]).toEqual([0, 1])
  await process.run(8 * minuteMs)
  expect([await journaled(process, 'first'), await journaled(process, 'second')]).toEqual([0, 0])
})

test('as long as the topic, at publish, remembers the identity, the journal stays although the group has forgotten it', async () => {
  const process = await open({ maxIds: 1 })
  const subject = topic<unknown>('t', { partitions: 1 })
  await process.write(async (session) =>
    session.log.append(await session.topics.declare(subject), [published('at publish', process.nowMs)]),
  )
  await called(process, 'a')
  await process.run(4 * minuteMs)
  await process.claim(published('b', process.nowMs))
  await process.run(4 * minuteMs)
  expect(await process.claim(published('a', 0))).toEqual(['too-old'])
  expect(await journaled(process, 'a')).toBe(1)
})

test('the journal of a message that waits for a person stays, however long that takes', async () => {
  const process = await open({ ms: 8 * minuteMs })
  await called(process, 'waits', { parked: true })
  await called(process, 'done')
  await process.run(15 * minuteMs)
  expect([await journaled(process, 'waits'), await journaled(process, 'done')]).toEqual([1, 0])
})

test('many rows go in small ranges', async () => {
  const process = await open({ ms: 8 * minuteMs })
  await called(process, 'one')
  await process.rows(
    `insert into {s}.call (subscription, identity, name, round, state, rule, token, requests, lease, epoch, pid, host, started_at, intent_ms, generation)
     select subscription, 's/' || n, name, round, state, rule, token, requests, lease, epoch, pid, host, started_at, intent_ms, generation
     from {s}.call, generate_series(1, 2499) n`,
  )
  const rows = (): Promise<number> => process.number('select count(*) from {s}.call')
  const sizes: number[] = []
  for (let before = await rows(); before > 0; ) {
    if (!(await process.step())) process.clock.pass(minuteMs + 1_000)
    const after = await rows()
    if (after < before) sizes.push(before - after)
    before = after
  }
  expect(sizes).toEqual([1_000, 1_000, 500])
})

test('where no identities are remembered here at all, the journal stays for the time of the window', async () => {
  const process = await open({ ms: 16 * minuteMs })
  await called(process, 'a', { received: false })
  await process.run(10 * minuteMs)
  expect(await journaled(process, 'a')).toBe(1)
  await process.run(8 * minuteMs)
  expect(await journaled(process, 'a')).toBe(0)
})

test('nothing of the journal goes while the owner of the partition is in a transaction', async () => {
  const process = await open({ ms: 16 * minuteMs })
  await process.write(async (session) => {
    const owner = await session.ownership.enroll(nodeRuntime().process, { nowMs: 0, untilMs: 1 })
    await session.ownership.take(lease.name, owner, { nowMs: 0, untilMs: 1, gone: [] })
  })
  await called(process, 'a', { received: false })
  const owner = await process.server.pool.connect()
  await owner.query("begin; select 1 from onefold.lease where name = 't/g/0' for update")
  process.clock.pass(20 * minuteMs)
  await process.maintain()
  expect(await journaled(process, 'a')).toBe(1)
  await owner.query('commit')
  owner.release()
  process.clock.pass(2 * minuteMs)
  await process.maintain()
  expect(await journaled(process, 'a')).toBe(0)
})
