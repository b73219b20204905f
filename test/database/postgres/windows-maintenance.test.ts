import { describe, expect, test, vi } from 'vitest'
import { generationRows } from '../../../src/database/window-rules.ts'
import { PostgresWindows } from '../../support/postgres-windows.ts'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { minuteMs, published } from '../../support/window-database.ts'

vi.setConfig({ testTimeout: 30_000 })

const yearMs = 365 * 24 * 60 * minuteMs
const open = PostgresWindows.open
const runningMs = (process: PostgresWindows) => process.number("select value from {s}.meta where name = 'running_ms'")
const liveGenerations = (process: PostgresWindows) => process.number('select count(*) from {s}.generation where not dropped')
const identities = (process: PostgresWindows) => process.number('select count(*) from {s}.identity')
const windowOf = async (process: PostgresWindows) => (await process.database.status()).dedupWindows[0]!

describe('a window bounded by time', () => {
  test('forgets what is older than the window by both clocks, a generation at a time', async () => {
    const process = await open({ ms: 16 * minuteMs })
    const first = published('first', process.nowMs)
    await process.claim(first)
    await process.run(4 * minuteMs)
    const second = published('second', process.nowMs)
    expect(await process.claim(second)).toEqual(['new'])
    await process.run(8 * minuteMs)
    expect(await process.claim(first, second)).toEqual(['seen', 'seen'])
    await process.run(8 * minuteMs)
    expect(await process.claim(first, second)).toEqual(['too-old', 'seen'])
    expect(await process.claim(first)).toEqual(['seen'])
    expect(await process.claim(published('third', process.nowMs))).toEqual(['new'])
    expect(process.events).toEqual([])
  })

  test('a wall clock that jumps ahead by a year, or back, makes it forget nothing', async () => {
    const process = await open()
    const note = published('a', process.nowMs)
    await process.claim(note)
    await process.run(4 * minuteMs)
    expect(await liveGenerations(process)).toBe(2)
    for (const jumpMs of [yearMs, -2 * yearMs, 5 * yearMs, -4 * yearMs]) {
      process.clock.wallAheadMs += jumpMs
      await process.run(2 * minuteMs)
      expect(await process.claim(note)).toEqual(['seen'])
      const window = await windowOf(process)
      expect(window.liveMs).toBeGreaterThanOrEqual(0)
      expect(window.headroom.ms).toBeGreaterThanOrEqual(0)
    }
  })

  test('a wall clock that stands still makes it forget nothing either', async () => {
    const process = await open()
    const note = published('a', process.nowMs)
    await process.claim(note)
    await process.run(4 * minuteMs)
    for (let minute = 0; minute < 40; minute++) {
      process.clock.monotonicAheadMs += minuteMs + 1_000
      await process.maintain()
    }
    expect(await runningMs(process)).toBeGreaterThan(40 * minuteMs)
    expect(await process.claim(note)).toEqual(['seen'])
  })

  test('a wall clock that was a year ahead when a generation was sealed does not keep it for a year', async () => {
    const process = await open()
    process.clock.wallAheadMs += yearMs
    await process.claim(published('a', 1))
    await process.run(4 * minuteMs)
    await process.claim(published('b', 2))
    process.clock.wallAheadMs -= yearMs
    await process.run(12 * minuteMs)
    expect(await process.claim(published('a', 1), published('b', 2))).toEqual(['seen', 'seen'])
    await process.run(12 * minuteMs)
    expect(await process.claim(published('a', 1), published('b', 2))).toEqual(['too-old', 'too-old'])
  })

  test('time in which nobody was running does not count: after a long stop repeats are still recognised', async () => {
    const process = await open()
    const note = published('a', process.nowMs)
    await process.claim(note)
    await process.run(4 * minuteMs)
    await process.reopen()
    process.clock.wallAheadMs += 30 * 24 * 60 * minuteMs
    await process.run(4 * minuteMs)
    expect(await process.claim(note)).toEqual(['seen'])
  })

  test('a process that was frozen for a day has been running for two minutes of it at most', async () => {
    const process = await open()
    const note = published('a', process.nowMs)
    await process.claim(note)
    await process.run(4 * minuteMs)
    const before = await runningMs(process)
    process.clock.pass(24 * 60 * minuteMs)
    await process.maintain()
    expect((await runningMs(process)) - before).toBe(2 * minuteMs)
    expect(await process.claim(note)).toEqual(['seen'])
  })
})

describe('a window bounded by size', () => {
  test('removes the rows of a forgotten generation in small ranges: known until then, and late after it', async () => {
    const process = await open({ maxIds: 1 })
    const publishedMs = process.nowMs
    const old = Array.from({ length: 2_500 }, (_, number) => published(`old ${number}`, publishedMs))
    await process.claim(...old)
    await process.run(3 * minuteMs)
    await process.claim(published('newer', process.nowMs))
    process.clock.pass(minuteMs)
    const sizes: number[] = []
    for (let before = await identities(process), more = true; more; ) {
      more = await process.step()
      const after = await identities(process)
      if (after < before) sizes.push(before - after)
      before = after
    }
    expect(sizes).toEqual([1_000, 1_000, 500])
    expect(new Set(await process.claim(...old))).toEqual(new Set(['too-old']))
    expect(await process.claim(published('newer', 1))).toEqual(['seen'])
  })

  test('that forgot ids before their time says so once, and until it reaches back far enough again', async () => {
    const process = await open({ ms: 16 * minuteMs, maxIds: 2 })
    await process.claim(published('a', process.nowMs))
    await process.run(2 * minuteMs)
    await process.claim(published('b', process.nowMs), published('c', process.nowMs))
    await process.run(minuteMs)
    process.clock.pass(2_000)
    await process.maintain()
    expect(process.events).toMatchObject([
      {
        kind: 'window-shrunk',
        topic: 't',
        group: 'g',
        message: expect.stringMatching(/16 min.* 1 ids .*maxIds is 2\. Raise it/),
      },
    ])
    expect(await windowOf(process)).toMatchObject({ shrunk: true, ids: 2, generations: 1 })
    await process.run(20 * minuteMs)
    expect(await windowOf(process)).toMatchObject({ shrunk: false })
    expect(process.events).toHaveLength(1)
  })

  test('a generation is sealed when it is full, whoever filled it', async () => {
    const process = await open()
    const publishedMs = process.nowMs
    await process.claim(published('first', publishedMs))
    await process.rows(
      `insert into {s}.identity (dedup, source, key, body, generation, time_ms)
       select w.dedup, 's', int4send(n), '', w.current, ${publishedMs + 7_000} from {s}.dedup_window w, generate_series(2, ${generationRows}) n`,
    )
    await process.maintain()
    const generations = await process.rows(
      'select rows::int, sealed_ms is not null as sealed, newest_ms::float8 as newest from {s}.generation order by generation',
    )
    expect(generations).toEqual([
      { rows: generationRows, sealed: true, newest: publishedMs + 7_000 },
      { rows: 0, sealed: false, newest: null },
    ])
    expect(await process.claim(published('first', publishedMs), published('next', publishedMs))).toEqual(['seen', 'new'])
    expect(await process.rows('select generation, count(*)::int from {s}.identity group by 1 order by 1')).toEqual([
      { generation: 1, count: generationRows },
      { generation: 2, count: 1 },
    ])
  })

  test('counts a newest generation seldom when it does not grow, and in time to seal it when it does', async () => {
    const process = await open()
    await process.claim(published('first', 1))
    const rows = (): Promise<number> => process.number('select rows from {s}.generation')
    await process.maintain()
    expect(await rows()).toBe(1)
    const add = (count: number): Promise<unknown> =>
      process.rows(
        `insert into {s}.identity select w.dedup, 's', uuid_send(gen_random_uuid()), '', w.current, 1 from {s}.dedup_window w, generate_series(1, ${count})`,
      )
    await add(4)
    process.clock.pass(1_000)
    await process.maintain()
    expect(await rows()).toBe(1)
    process.clock.pass(5_000)
    await process.maintain()
    expect(await rows()).toBe(5)
    // Growing by 20,000 in a few seconds: counted again long before a minute is over.
    for (let second = 0; second < 90 && (await process.number('select count(*) from {s}.generation')) === 1; second++) {
      await add(2_000)
      process.clock.pass(1_000)
      await process.maintain()
    }
    expect(await process.number('select rows from {s}.generation where sealed_ms is not null')).toBeLessThan(2 * generationRows)
    expect(await process.number('select count(*) from {s}.generation')).toBe(2)
  })
})

describe('several processes', () => {
  /** Each has its own clock, of its own beginning; all of them go at the same pace. */
  async function three(): Promise<PostgresWindows[]> {
    const all: PostgresWindows[] = []
    for (let number = 0; number < 3; number++) {
      const clock = new ShiftedRuntime()
      clock.monotonicAheadMs = number * 7_777_777
      all.push(await open({ clock, ms: 120 * minuteMs, ...(number === 0 ? {} : { of: all[0]! }) }))
    }
    await all[0]!.claim(published('a', 1))
    // Sealed, so that time matters.
    for (const each of all) each.clock.pass(16 * minuteMs)
    await all[0]!.run(2 * minuteMs)
    return all
  }

  test('that all look every few seconds for a quarter of an hour have been running for that, not for three times as long', async () => {
    const all = await three()
    const before = await runningMs(all[0]!)
    for (let second = 0; second < 900; second += 20) {
      for (const [number, process] of all.entries()) {
        for (const each of all) each.clock.pass(number === 0 ? 6_000 : 7_000)
        await process.maintain()
      }
    }
    const countedMs = (await runningMs(all[0]!)) - before
    expect(countedMs).toBeLessThanOrEqual(15 * minuteMs)
    expect(countedMs).toBeGreaterThan(12 * minuteMs)
  })

  test('that take over from one another do not count what their predecessors have counted', async () => {
    const all = await three()
    const before = await runningMs(all[0]!)
    for (const process of all) {
      for (let minute = 0; minute < 10; minute++) {
        for (const each of all) each.clock.pass(minuteMs + 1)
        await process.maintain()
      }
    }
    const countedMs = (await runningMs(all[0]!)) - before
    expect(countedMs).toBeLessThanOrEqual(30 * minuteMs + 30)
    expect(countedMs).toBeGreaterThan(25 * minuteMs)
  })

  test('one that was not told of a window forgets nothing that another was told to remember', async () => {
    const owner = await open({ ms: 120 * minuteMs, maxIds: 5_000 })
    const note = published('a', owner.nowMs)
    await owner.claim(note)
    await owner.run(16 * minuteMs)
    const tool = await open({ of: owner, clock: owner.clock, ms: 10 * minuteMs, maxIds: 1_000, stated: false })
    await tool.run(40 * minuteMs)
    expect(await owner.claim(note)).toEqual(['seen'])
    expect(await windowOf(tool)).toMatchObject({ windowMs: 120 * minuteMs, maxIds: 5_000 })
  })
})

test('an idle schema is not written', async () => {
  const process = await open()
  await process.claim(published('a', process.nowMs))
  await process.run(4 * minuteMs)
  await process.rows(
    'do $$ begin execute format($x$alter database %I set default_transaction_read_only = on$x$, current_database()); end $$',
  )
  await process.reopen()
  for (let second = 0; second < 50; second += 5) {
    process.clock.pass(5_000)
    await process.maintain()
  }
  await expect(process.claim(published('b', 1))).rejects.toThrow(/read.only/)
})
