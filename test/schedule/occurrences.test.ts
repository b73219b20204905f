import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkPattern, occurrencesOf } from '../../src/schedule/occurrences.ts'
import { rejection } from '../support/until.ts'

const at = (text: string): number => Date.parse(text)

async function between(pattern: string, timeZone: string, from: string, to: string): Promise<string[]> {
  const occurrences = await occurrencesOf(pattern, timeZone)
  const found: string[] = []
  for (let ms = occurrences.after(at(from)); ms !== undefined && ms <= at(to); ms = occurrences.after(ms))
    found.push(new Date(ms).toISOString())
  return found
}

test('Berlin, spring: 02:30 is skipped by the clock, so it comes to pass when the clock has jumped', async () => {
  expect(await between('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00Z', '2026-03-31T00:00Z')).toEqual([
    '2026-03-28T01:30:00.000Z',
    '2026-03-29T01:00:00.000Z',
    '2026-03-30T00:30:00.000Z',
  ])
})

test('Berlin, autumn: 02:30 is there twice, and comes to pass once', async () => {
  expect(await between('30 2 * * *', 'Europe/Berlin', '2026-10-24T00:00Z', '2026-10-26T12:00Z')).toEqual([
    '2026-10-24T00:30:00.000Z',
    '2026-10-25T00:30:00.000Z',
    '2026-10-26T01:30:00.000Z',
  ])
})

test('Berlin: what repeats through the day goes on evenly through both changes', async () => {
  const spring = await between('*/30 * * * *', 'Europe/Berlin', '2026-03-29T00:00Z', '2026-03-29T03:00Z')
  const autumn = await between('*/30 * * * *', 'Europe/Berlin', '2026-10-25T00:00Z', '2026-10-25T03:00Z')
  expect(spring).toHaveLength(6)
  expect(autumn).toHaveLength(6)
  expect(await between('0 9 * * 1-5', 'Europe/Berlin', '2026-03-26T12:00Z', '2026-03-31T12:00Z')).toEqual([
    '2026-03-27T08:00:00.000Z',
    '2026-03-30T07:00:00.000Z',
    '2026-03-31T07:00:00.000Z',
  ])
})

test('forwards and backwards are the same instants, from wherever one starts, over both changes of the clock', async () => {
  const patterns = ['30 2 * * *', '15 2,3 * * *', '*/10 * * * *', '0 30 1-3 * * *', '0 0 L * *', '5 4 * * MON#2', '@hourly']
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata']
  const all = new Map<string, Awaited<ReturnType<typeof occurrencesOf>>>()
  for (const pattern of patterns) for (const zone of zones) all.set(`${pattern} ${zone}`, await occurrencesOf(pattern, zone))
  const changes = ['2026-03-08T06:00Z', '2026-03-29T00:00Z', '2026-04-04T14:00Z', '2026-10-03T15:00Z', '2026-10-25T00:00Z'].map(
    at,
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...all.keys()),
      fc.constantFrom(...changes),
      fc.integer({ min: -24 * 3_600_000, max: 24 * 3_600_000 }),
      (name, change, shift) => {
        const occurrences = all.get(name)!
        const from = change + shift
        const next = occurrences.after(from)!
        expect(next).toBeGreaterThan(from)
        expect(next % 1_000).toBe(0)
        // Nothing lies between, seen from the other side, and the way back leads to the same place.
        const last = occurrences.before(next)!
        expect(last).toBeLessThanOrEqual(from)
        expect(occurrences.after(last)).toBe(next)
        expect(occurrences.before(next + 1)).toBe(next)
      },
    ),
    { numRuns: 500 },
  )
})

test('what cannot be read, or never comes to pass, is refused by the name of the option', async () => {
  for (const pattern of ['', ' ', '? * * * *', '2026-01-01T00:00:00', 7, undefined]) {
    expect(() => checkPattern(pattern, 'UTC')).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', details: { option: 'cron', expected: expect.any(String) } }),
    )
  }
  for (const pattern of ['61 * * * *', '* * * *', '* * * * * * *', '@reboot', '0 0 31 2 *', 'at nine']) {
    expect(await rejection(occurrencesOf(pattern, 'UTC'))).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'cron' } })
  }
  for (const zone of ['Europe/Atlantis', '', 7])
    expect(() => checkPattern('@daily', zone)).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('timeZone') }),
    )
})

test('the clock plays no part: another date of today gives the same instants', () => {
  // Stated of the source: croner is used for its pure questions only, each with its own reference time.
  const source = readFileSync(fileURLToPath(new URL('../../src/schedule/occurrences.ts', import.meta.url)), 'utf8')
  expect(source.match(/cron\.\w+\(.*/g)).toEqual([
    'cron.nextRun(new Date(ms))?.getTime(),',
    'cron.previousRuns(1, new Date(ms))[0]?.getTime(),',
  ])
})
