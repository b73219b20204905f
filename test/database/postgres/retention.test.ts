import { expect, test, vi } from 'vitest'
import { topic } from '../../../src/index.ts'
import type { Envelope } from '../../../src/message.ts'
import { PostgresWindows } from '../../support/postgres-windows.ts'
import { until } from '../../support/until.ts'
import { published } from '../../support/window-database.ts'

vi.setConfig({ testTimeout: 30_000 })

const hourMs = 3_600_000
const subject = topic<unknown>('t', { partitions: 1, retentionMs: hourMs })
const fast = { topic: 't', group: 'g' }
const slow = { topic: 't', group: 'slow' }
const stored = (process: PostgresWindows) => process.number('select count(*) from {s}.log')
const places = (process: PostgresWindows) =>
  process.rows<{ first: string; last: string }>('select first, last from {s}.log_position order by last')
const tail = (process: PostgresWindows) => process.number('select tail from {s}.partition')

const publish = (process: PostgresWindows, ...envelopes: Envelope[]) =>
  process.write(async (session) => session.log.append(await session.topics.declare(subject), envelopes))
const some = (process: PostgresWindows, name: string, count: number) =>
  publish(process, ...Array.from({ length: count }, (_, number) => published(`${name} ${number}`, process.nowMs)))
const declare = (process: PostgresWindows, group: { topic: string; group: string }) =>
  process.write((session) => session.groups.declare(group, { startFrom: 'earliest', semantics: 's' }))
/** All that is there has got its offset. */
const place = (process: PostgresWindows) => process.database.read((stores) => stores.log.head('t', '0'))
const applied = (process: PostgresWindows, offset: number, group = fast) =>
  process.write((session) => session.checkpoints.advance(group, '0', { offset: BigInt(offset), applied: offset, suppressed: 0 }))
const read = (process: PostgresWindows, after: number) =>
  process.database.read(async (stores) =>
    (await stores.log.read('t', '0', BigInt(after), 5_000, 10_000_000)).map(({ offset }) => Number(offset)),
  )
const maintain = async (process: PostgresWindows): Promise<void> => {
  process.clock.pass(2_000)
  await process.maintain()
}

test('what every group has applied and is old goes in small steps; what one group has not, or is young, stays', async () => {
  const process = await PostgresWindows.open()
  await some(process, 'old', 2_600)
  await place(process)
  await declare(process, slow)
  await applied(process, 2_600)
  await applied(process, 1_700, slow)
  await maintain(process)
  expect(await stored(process)).toBe(2_600)
  process.clock.pass(2 * hourMs)
  const sizes: number[] = []
  for (let before = await stored(process), more = true; more; ) {
    process.clock.pass(2_000)
    more = await process.step()
    const after = await stored(process)
    if (after < before) sizes.push(before - after)
    before = after
  }
  // 500 messages to a place: that from 1,501 to 2,000 is needed in part.
  expect(sizes).toEqual([1_000, 500])
  expect(await tail(process)).toBe(1_500)
  expect(await read(process, 1_700)).toHaveLength(900)
  expect((await process.database.status()).topics).toMatchObject([
    { accepted: 2_600, messages: 1_100, partitions: [{ firstOffset: '1501', lastOffset: '2600' }] },
  ])
  await some(process, 'young', 10)
  await place(process)
  await applied(process, 2_610)
  await applied(process, 2_610, slow)
  await maintain(process)
  expect(await places(process)).toEqual([{ first: '2601', last: '2610' }])
  expect(await stored(process)).toBe(10)
  // Gone from the log, not from memory.
  expect(await publish(process, published('old 5', process.nowMs))).toEqual(['duplicate'])
})

test('a place with one young message stays whole, and so does all behind it', async () => {
  const process = await PostgresWindows.open()
  await publish(process, published('old', process.nowMs), published('stated late', process.nowMs + 3 * hourMs))
  await place(process)
  await publish(process, published('old as well', process.nowMs))
  await place(process)
  await applied(process, 3)
  process.clock.pass(2 * hourMs)
  await maintain(process)
  expect(await stored(process)).toBe(3)
  process.clock.pass(3 * hourMs)
  await maintain(process)
  expect(await stored(process)).toBe(0)
})

test('without any group everything stays, and so does what has no offset yet', async () => {
  const process = await PostgresWindows.open()
  await some(process, 'placed', 5)
  await place(process)
  await some(process, 'without offset', 5)
  await process.write((session) => session.groups.remove(fast))
  process.clock.pass(2 * hourMs)
  await maintain(process)
  expect(await stored(process)).toBe(10)
  await process.reopen()
  await declare(process, fast)
  await applied(process, 5)
  await maintain(process)
  expect(await stored(process)).toBe(5)
  expect(await read(process, 5)).toEqual([6, 7, 8, 9, 10])
})

test('a group that is being declared at this moment keeps everything for itself', async () => {
  const process = await PostgresWindows.open()
  await some(process, 'old', 700)
  await place(process)
  await applied(process, 700)
  process.clock.pass(2 * hourMs)
  const declaring = await process.server.pool.connect()
  await declaring.query(
    "begin; insert into onefold.subscription (topic, grp, semantics, start_from, created_ms) values ('t', 'slow', 's', 'earliest', 0)",
  )
  await maintain(process)
  expect(await stored(process)).toBe(700)
  await declaring.query('commit')
  declaring.release()
  await maintain(process)
  expect(await stored(process)).toBe(700)
  expect(await read(process, 0)).toHaveLength(700)
  await applied(process, 700, slow)
  await maintain(process)
  expect(await stored(process)).toBe(0)
})

test('a group that is declared while messages are removed comes after them, and finds what is left', async () => {
  const process = await PostgresWindows.open()
  await some(process, 'old', 700)
  await place(process)
  await applied(process, 500)
  process.clock.pass(2 * hourMs)
  // The removal has the groups locked, and waits for this.
  const lock = await process.server.pool.connect()
  await lock.query('begin; select 1 from onefold.partition for update')
  process.clock.pass(2_000)
  const removing = process.maintain()
  await until(async () => (await process.waiting()) === 1, 'the removal to wait')
  const declared = declare(process, slow)
  await until(async () => (await process.waiting()) === 2, 'the declaration to wait for it')
  await lock.query('commit')
  lock.release()
  await Promise.all([removing, declared])
  expect(await stored(process)).toBe(200)
  expect(await read(process, 0)).toEqual(Array.from({ length: 200 }, (_, index) => 501 + index))
})

test('two processes at once, publishers and a transaction that is open for long: every message is there until it is applied, and then goes once', async () => {
  const first = await PostgresWindows.open()
  const second = await PostgresWindows.open({ of: first, clock: first.clock })
  const { promise: gate, resolve: release } = Promise.withResolvers<void>()
  await publish(first, published('first', first.nowMs))
  const late = first.write(async (session) => {
    await session.log.append(await session.topics.declare(subject), [published('late', first.nowMs)])
    await gate
  })
  let ended = false
  const maintaining = Promise.all(
    [first, second].map(async (process) => {
      while (!ended) {
        first.clock.pass(2 * hourMs)
        await process.maintain()
      }
    }),
  )
  const publishing = (async () => {
    for (let batch = 0; batch < 20; batch++) await some(first, `batch ${batch}`, 50)
    release()
    await late
  })()
  const seen: number[] = []
  for (let after = 0; seen.length < 1_002; ) {
    const offsets = await read(second, after)
    seen.push(...offsets)
    after = offsets.at(-1) ?? after
    await applied(second, after)
  }
  await publishing
  await until(async () => (await stored(first)) === 0, 'all to be removed')
  ended = true
  await maintaining
  expect(seen).toEqual(Array.from({ length: 1_002 }, (_, index) => index + 1))
  expect(await tail(first)).toBe(1_002)
  expect(await places(first)).toEqual([])
})
