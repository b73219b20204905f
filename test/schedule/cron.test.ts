import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MissedPolicy, Occurrences } from '../../src/schedule/cron.ts'
import { dueFirings, onTimeMs } from '../../src/schedule/cron.ts'

/** Every multiple of `ms` from 0 on. */
const every = (ms: number): Occurrences => ({
  after: (from) => Math.max(0, (Math.floor(from / ms) + 1) * ms),
  before: (from) => (from <= 0 ? undefined : (Math.ceil(from / ms) - 1) * ms),
})

const base = { missed: 'all', maxMissed: 100 } as const

test('nothing is due before its time; at its time it is', () => {
  expect(dueFirings(every(1_000), { ...base, lastMs: 5_000, nowMs: 5_999 })).toBeUndefined()
  expect(dueFirings(every(1_000), { ...base, lastMs: 5_000, nowMs: 6_000 })).toEqual({
    instants: [6_000],
    missed: 0,
    toMs: 6_000,
  })
})

test('a clock that went back makes nothing due again', () => {
  expect(dueFirings(every(1_000), { ...base, lastMs: 5_000, nowMs: 1_000 })).toBeUndefined()
})

test('missed firings: the last, each of them up to a bound, or none', () => {
  const downtime = { lastMs: 0, nowMs: 3_600_500 }
  const hourly = every(600_000)
  expect(dueFirings(hourly, { ...base, ...downtime, missed: 'last' })).toEqual({
    instants: [3_600_000],
    missed: 5,
    toMs: 3_600_000,
  })
  expect(dueFirings(hourly, { ...base, ...downtime })?.instants).toEqual([
    600_000, 1_200_000, 1_800_000, 2_400_000, 3_000_000, 3_600_000,
  ])
  expect(dueFirings(hourly, { ...base, ...downtime, maxMissed: 2 })).toEqual({
    instants: [3_000_000, 3_600_000],
    missed: 4,
    toMs: 3_600_000,
  })
  // The newest is half a second old: that is in time.
  expect(dueFirings(hourly, { ...base, ...downtime, missed: 'none' })).toEqual({
    instants: [3_600_000],
    missed: 5,
    toMs: 3_600_000,
  })
  const late = { lastMs: 0, nowMs: 3_600_000 + onTimeMs + 1 }
  expect(dueFirings(hourly, { ...base, ...late, missed: 'none' })).toEqual({ instants: [], missed: 6, toMs: 3_600_000 })
})

test('years of downtime of a pattern of seconds cost bounded work', () => {
  let asked = 0
  const counting: Occurrences = {
    after: (ms) => every(1_000).after(ms),
    before: (ms) => {
      asked++
      return every(1_000).before(ms)
    },
  }
  const nowMs = 10 * 365 * 24 * 3_600_000
  expect(dueFirings(counting, { lastMs: 0, nowMs, missed: 'last', maxMissed: 100 })).toEqual({
    instants: [nowMs],
    missed: 999,
    toMs: nowMs,
  })
  expect(asked).toBeLessThan(1_010)
})

test('whatever the clock does and whoever looks when: no instant is published twice, none before its time, and with "all" none is lost unless counted', () => {
  const look = fc.record({
    clockMs: fc.integer({ min: 0, max: 40_000 }),
    missed: fc.constantFrom<MissedPolicy>('last', 'all', 'none'),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(look, { maxLength: 30 }),
      fc.integer({ min: 1, max: 12 }),
      (seconds, looks, maxMissed) => {
        const occurrences = every(seconds * 1_000)
        const published: number[] = []
        let missedInAll = 0
        let lastMs = 0
        for (const { clockMs, missed } of looks) {
          const due = dueFirings(occurrences, { lastMs, nowMs: clockMs, missed, maxMissed })
          if (due === undefined) continue
          for (const instant of due.instants) {
            expect(instant).toBeGreaterThan(published.at(-1) ?? 0)
            expect(instant).toBeLessThanOrEqual(clockMs)
            published.push(instant)
          }
          expect(due.instants.length).toBeLessThanOrEqual(missed === 'all' ? maxMissed : 1)
          expect(due.toMs).toBeGreaterThan(lastMs)
          missedInAll += due.missed
          lastMs = due.toMs
        }
        expect(published.length + missedInAll).toBe(lastMs / (seconds * 1_000))
      },
    ),
    { numRuns: 500 },
  )
})
