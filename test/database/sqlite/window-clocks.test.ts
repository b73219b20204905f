import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { minuteMs, published, WindowDatabase } from '../../support/window-database.ts'

const yearMs = 365 * 24 * 60 * minuteMs

async function opened(options: Parameters<typeof WindowDatabase.open>[0] = {}): Promise<WindowDatabase> {
  const database = await WindowDatabase.open(options)
  onTestFinished(() => database.close())
  return database
}

function look<R>(file: string, sql: string): R[] {
  const reader = new DatabaseSync(file, { readOnly: true })
  try {
    return reader.prepare(sql).all() as R[]
  } finally {
    reader.close()
  }
}
const runningMs = (file: string): number =>
  look<{ value: number }>(file, "select value from onefold_meta where name = 'running_ms'")[0]?.value ?? 0
const liveGenerations = (file: string): number =>
  look<{ n: number }>(file, 'select count(*) as n from onefold_generation where dropped = 0')[0]?.n ?? 0

describe('a window bounded by time', () => {
  test('forgets what is older than the window by both clocks, a generation at a time', async () => {
    const file = await opened({ ms: 16 * minuteMs })
    const first = published('first', file.nowMs)
    await file.claim(first)
    await file.run(4 * minuteMs)
    const second = published('second', file.nowMs)
    expect(await file.claim(second)).toEqual(['new'])
    await file.run(8 * minuteMs)
    expect(await file.claim(first, second)).toEqual(['seen', 'seen'])
    await file.run(8 * minuteMs)
    expect(await file.claim(first, second)).toEqual(['too-old', 'seen'])
    expect(await file.claim(first)).toEqual(['seen'])
    expect(await file.claim(published('third', file.nowMs))).toEqual(['new'])
    expect(file.events).toEqual([])
  })

  test('what is claimed while the rows of a forgotten generation are still being removed is late, not new', async () => {
    const file = await opened({ maxIds: 1 })
    const publishedMs = file.nowMs
    const old = Array.from({ length: 3_000 }, (_, number) => published(`old ${number}`, publishedMs))
    await file.claim(...old)
    await file.run(3 * minuteMs)
    await file.claim(published('newer', file.nowMs))
    // One step forgets, the next ones remove a thousand rows each.
    expect(await file.database.maintain({ nowMs: file.nowMs })).toBe(true)
    const left = (): number | undefined => look<{ n: number }>(file.file, 'select count(*) as n from onefold_identity')[0]?.n
    expect(left()).toBe(3_001)
    expect(await file.claim(...old.slice(0, 2), ...old.slice(-2))).toEqual(Array(4).fill('too-old'))
    await file.database.maintain({ nowMs: file.nowMs })
    expect(left()).toBe(2_005)
    expect(await file.claim(...old.slice(2, 4), ...old.slice(-4, -2))).toEqual(Array(4).fill('too-old'))
    await file.maintain()
    expect(left()).toBe(9)
  })

  test('a wall clock that jumps ahead by a year, or back, makes it forget nothing', async () => {
    const file = await opened()
    const note = published('a', file.nowMs)
    await file.claim(note)
    await file.run(4 * minuteMs)
    expect(liveGenerations(file.file)).toBe(2)
    for (const jumpMs of [yearMs, -2 * yearMs, 5 * yearMs, -4 * yearMs]) {
      file.clock.wallAheadMs += jumpMs
      await file.run(2 * minuteMs)
      expect(await file.claim(note)).toEqual(['seen'])
      const [window] = (await file.database.status()).dedupWindows
      expect(window?.liveMs).toBeGreaterThanOrEqual(0)
      expect(window?.headroom.ms).toBeGreaterThanOrEqual(0)
    }
  })

  test('a wall clock that stands still, or is set back again and again, makes it forget nothing either', async () => {
    const file = await opened()
    const note = published('a', file.nowMs)
    await file.claim(note)
    await file.run(4 * minuteMs)
    for (let minute = 0; minute < 40; minute++) {
      file.clock.monotonicAheadMs += minuteMs + 1_000
      await file.maintain()
    }
    expect(runningMs(file.file)).toBeGreaterThan(40 * minuteMs)
    expect(await file.claim(note)).toEqual(['seen'])
  })

  test('a wall clock that was a year ahead when a generation was sealed does not keep it for a year', async () => {
    const file = await opened()
    file.clock.wallAheadMs += yearMs
    await file.claim(published('a', 1))
    await file.run(4 * minuteMs)
    await file.claim(published('b', 2))
    file.clock.wallAheadMs -= yearMs
    await file.run(12 * minuteMs)
    expect(await file.claim(published('a', 1), published('b', 2))).toEqual(['seen', 'seen'])
    await file.run(12 * minuteMs)
    expect(await file.claim(published('a', 1), published('b', 2))).toEqual(['too-old', 'too-old'])
  })

  test('time in which nobody was running does not count: after a long stop repeats are still recognised', async () => {
    const file = await opened()
    const note = published('a', file.nowMs)
    await file.claim(note)
    await file.run(4 * minuteMs)
    await file.database.close()
    file.clock.wallAheadMs += 30 * 24 * 60 * minuteMs
    await file.reopen()
    await file.run(4 * minuteMs)
    expect(await file.claim(note)).toEqual(['seen'])
  })

  test('a process that was frozen for a day, or its machine asleep, has been running for two minutes of it at most', async () => {
    const file = await opened()
    const note = published('a', file.nowMs)
    await file.claim(note)
    await file.run(4 * minuteMs)
    const before = runningMs(file.file)
    file.clock.pass(24 * 60 * minuteMs)
    await file.maintain()
    expect(runningMs(file.file) - before).toBe(2 * minuteMs)
    expect(await file.claim(note)).toEqual(['seen'])
  })
})

describe('several processes on one file', () => {
  /** Each has its own clock, of its own beginning; all of them go at the same pace. */
  async function three(): Promise<WindowDatabase[]> {
    const all: WindowDatabase[] = []
    for (let number = 0; number < 3; number++) {
      const clock = new ShiftedRuntime()
      clock.monotonicAheadMs = number * 7_777_777
      all.push(await opened({ clock, ms: 120 * minuteMs, ...(number === 0 ? {} : { file: all[0]!.file }) }))
    }
    await all[0]!.claim(published('a', 1))
    // Sealed, so that time matters.
    for (const each of all) each.clock.pass(16 * minuteMs)
    await all[0]!.run(2 * minuteMs)
    return all
  }

  test('that all look every few seconds for an hour have been running for an hour, not for three', async () => {
    const all = await three()
    const before = runningMs(all[0]!.file)
    for (let second = 0; second < 3_600; second += 20) {
      for (const [number, process] of all.entries()) {
        for (const each of all) each.clock.pass(number === 0 ? 6_000 : 7_000)
        await process.maintain()
      }
    }
    const countedMs = runningMs(all[0]!.file) - before
    expect(countedMs).toBeLessThanOrEqual(60 * minuteMs)
    expect(countedMs).toBeGreaterThan(50 * minuteMs)
  })

  test('that take over from one another do not count what their predecessors have counted', async () => {
    const all = await three()
    const before = runningMs(all[0]!.file)
    for (const process of all) {
      for (let minute = 0; minute < 20; minute++) {
        for (const each of all) each.clock.pass(minuteMs + 1)
        await process.maintain()
      }
    }
    const countedMs = runningMs(all[0]!.file) - before
    expect(countedMs).toBeLessThanOrEqual(60 * minuteMs + 60)
    expect(countedMs).toBeGreaterThan(50 * minuteMs)
  })

  test('one that was not told of a window forgets nothing that another was told to remember', async () => {
    const owner = await opened({ ms: 120 * minuteMs, maxIds: 5_000 })
    const note = published('a', owner.nowMs)
    await owner.claim(note)
    await owner.run(16 * minuteMs)
    const tool = await opened({ file: owner.file, clock: owner.clock, ms: 10 * minuteMs, maxIds: 1_000, stated: false })
    await tool.run(40 * minuteMs)
    expect(await owner.claim(note)).toEqual(['seen'])
    expect((await tool.database.status()).dedupWindows).toMatchObject([{ windowMs: 120 * minuteMs, maxIds: 5_000 }])
  })
})
