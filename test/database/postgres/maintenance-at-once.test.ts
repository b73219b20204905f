import type { PoolClient } from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { topic } from '../../../src/index.ts'
import type { Envelope } from '../../../src/message.ts'
import { PostgresWindows, subscription } from '../../support/postgres-windows.ts'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { until } from '../../support/until.ts'
import { minuteMs, published } from '../../support/window-database.ts'

vi.setConfig({ testTimeout: 30_000 })

const open = PostgresWindows.open
const generations = (process: PostgresWindows) =>
  process.rows('select generation, sealed_ms is not null as sealed, dropped from {s}.generation order by generation')
const forgottenMs = (process: PostgresWindows) => process.number('select forgotten_ms from {s}.dedup_window')

/** A second process on the same database, with the same clock. */
const beside = (process: PostgresWindows): Promise<PostgresWindows> =>
  open({ of: process, clock: process.clock, ms: process.window.ms, maxIds: process.window.maxIds })

/** A transaction of somebody else's, open until `end`. */
async function holding(process: PostgresWindows, sql: string): Promise<{ end(): Promise<void> }> {
  const client: PoolClient = await process.server.pool.connect()
  let ended = false
  const end = async (): Promise<void> => {
    if (ended) return
    ended = true
    await client.query('commit')
    client.release()
  }
  onTestFinished(end)
  await client.query(`begin; ${sql.replaceAll('{s}', 'onefold')}`)
  return { end }
}

/** Claims in a transaction that stays open until `commit`. */
async function claiming(process: PostgresWindows, ...envelopes: Envelope[]) {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const { promise: claimed, resolve: done } = Promise.withResolvers<void>()
  const ended = process.write(async (session) => {
    const statuses = await session.inbox.claim(subscription, envelopes)
    done()
    await gate
    return statuses
  })
  await Promise.race([claimed, ended])
  return {
    async commit() {
      open()
      return await ended
    },
  }
}

describe('two processes that maintain at once', () => {
  test('seal a generation once, and open one after it', async () => {
    const first = await open()
    const second = await beside(first)
    await first.claim(published('a', first.nowMs))
    await first.maintain()
    await second.maintain()
    first.clock.pass(3 * minuteMs)
    const lock = await holding(first, 'select 1 from {s}.dedup_window for update')
    const both = Promise.all([first.maintain(), second.maintain()])
    await until(async () => (await first.waiting()) === 2, 'both to want to seal')
    await lock.end()
    await both
    expect(await generations(first)).toEqual([
      { generation: 1, sealed: true, dropped: false },
      { generation: 2, sealed: false, dropped: false },
    ])
    expect(await first.number('select current from {s}.dedup_window')).toBe(2)
  })

  test('forget a generation once, and tell of it once', async () => {
    const first = await open({ maxIds: 1 })
    const second = await beside(first)
    await first.claim(published('a', first.nowMs))
    await first.run(3 * minuteMs)
    await first.claim(published('b', first.nowMs))
    await second.maintain()
    await first.run(3 * minuteMs)
    await first.claim(published('c', first.nowMs))
    const before = first.events.length + second.events.length
    first.clock.pass(minuteMs)
    const lock = await holding(first, 'select 1 from {s}.dedup_window for update')
    const both = Promise.all([first.maintain(), second.maintain()])
    await until(async () => (await first.waiting()) === 2, 'both to want to forget')
    await lock.end()
    await both
    expect(first.events.length + second.events.length).toBe(before + 1)
    expect(await first.claim(published('c', 1))).toEqual(['seen'])
    expect(await first.claim(published('b', 1))).toEqual(['too-old'])
  })

  test('count the time that they have run together once', async () => {
    const first = await open()
    const clock = new ShiftedRuntime()
    const second = await open({ of: first, clock })
    await first.claim(published('a', 1))
    await first.run(4 * minuteMs)
    clock.pass(4 * minuteMs)
    // Both have seen the same total.
    await second.maintain()
    await first.maintain()
    const before = await first.number("select value from {s}.meta where name = 'running_ms'")
    first.clock.pass(minuteMs + 1_000)
    clock.pass(minuteMs + 1_000)
    const lock = await holding(first, "select 1 from {s}.meta where name = 'running_ms' for update")
    const both = Promise.all([first.maintain(), second.maintain()])
    await until(async () => (await first.waiting()) === 2, 'both to want to count')
    await lock.end()
    await both
    const countedMs = (await first.number("select value from {s}.meta where name = 'running_ms'")) - before
    expect(countedMs).toBeGreaterThan(minuteMs)
    expect(countedMs).toBeLessThan(2 * minuteMs)
    // One that comes with what it saw long ago does not set it back.
    await second.maintain()
    await first.run(5 * minuteMs)
    const total = await first.number("select value from {s}.meta where name = 'running_ms'")
    clock.pass(minuteMs + 1_000)
    await second.maintain()
    expect(await first.number("select value from {s}.meta where name = 'running_ms'")).toBe(total)
  })

  test('add up every repeat that publishers count meanwhile', async () => {
    const first = await open()
    const second = await beside(first)
    const subject = topic<unknown>('t', { partitions: 1 })
    const publish = (...envelopes: Envelope[]) =>
      first.write(async (session) => session.log.append(await session.topics.declare(subject), envelopes))
    const note = published('a', 1)
    await publish(note)
    let published_ = 0
    const publishing = Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let count = 0; count < 30; count++) {
          await publish(note, note)
          published_ += 2
        }
      }),
    )
    let ended = false
    const adding = Promise.all(
      [first, second].map(async (process) => {
        while (!ended) {
          process.clock.pass(11_000)
          await process.maintain()
        }
      }),
    )
    await publishing
    ended = true
    await adding
    expect((await first.database.status()).topics).toMatchObject([{ duplicates: published_ }])
    first.clock.pass(11_000)
    await first.maintain()
    expect(await first.number('select count(*) from {s}.duplicate')).toBe(0)
    expect((await first.database.status()).topics).toMatchObject([{ duplicates: 240 }])
  })
})

describe('a transaction that is open meanwhile', () => {
  test('holds up nobody, and is remembered like any other when it commits after its generation has gone', async () => {
    const process = await open({ maxIds: 1 })
    const note = published('late', process.nowMs)
    await process.claim(published('a', process.nowMs))
    const late = await claiming(process, note)
    await process.run(3 * minuteMs)
    await process.claim(published('b', process.nowMs))
    await process.run(2 * minuteMs)
    expect(await process.number('select min(generation) from {s}.generation')).toBeGreaterThan(1)
    expect(await late.commit()).toEqual(['new'])
    await process.run(minuteMs)
    expect(await process.claim(note)).toEqual(['seen'])
    expect(
      await process.number('select count(*) from {s}.identity i left join {s}.generation g using (generation) where g is null'),
    ).toBe(0)
    // And forgotten like any other.
    await process.run(3 * minuteMs)
    await process.claim(published('c', process.nowMs))
    await process.run(3 * minuteMs)
    expect(await process.claim(note)).toEqual(['too-old'])
  })

  test('and that commits after its generation was counted: what it wrote is late once it has gone, not new', async () => {
    const process = await open({ maxIds: 1 })
    const startMs = process.nowMs
    await process.claim(published('a', startMs))
    // Stated to be newer than all that the generation is known to hold.
    const late = await claiming(process, published('late', startMs + 40 * minuteMs))
    await process.run(3 * minuteMs)
    await late.commit()
    await process.claim(published('b', process.nowMs))
    await process.run(2 * minuteMs)
    expect(await process.number('select count(*) from {s}.identity')).toBe(1)
    expect(await forgottenMs(process)).toBe(Math.floor(startMs + 40 * minuteMs))
    expect(await process.claim(published('late', startMs + 40 * minuteMs))).toEqual(['too-old'])
  })

  test('a claim that began before the forgetting, and goes on after the rows have gone, finds them late', async () => {
    const process = await open({ maxIds: 1 })
    const other = await beside(process)
    const old = published('z old', process.nowMs)
    await process.claim(old)
    await process.run(3 * minuteMs)
    await process.claim(published('newer', process.nowMs))
    // Identities go in by order: this one first, and there it waits.
    const first = await claiming(other, published('a', process.nowMs))
    const waiting = process.claim(published('a', process.nowMs), old)
    await until(async () => (await process.waiting()) === 1, 'the claim to wait')
    await other.run(2 * minuteMs)
    expect(await process.number('select count(*) from {s}.identity')).toBe(1)
    await first.commit()
    expect(await waiting).toEqual(['seen', 'too-old'])
  })
})
