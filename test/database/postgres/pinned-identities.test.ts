import { describe, expect, test, vi } from 'vitest'
import { topic } from '../../../src/index.ts'
import type { Envelope } from '../../../src/message.ts'
import { PostgresWindows, subscription } from '../../support/postgres-windows.ts'
import { minuteMs, published } from '../../support/window-database.ts'

vi.setConfig({ testTimeout: 30_000 })

const subject = topic<unknown>('t', { partitions: 1 })
const opened = () => PostgresWindows.open({ ms: 8 * minuteMs })

const park = (process: PostgresWindows, envelope: Envelope, state: 'waiting' | 'attention') =>
  process.write((session) =>
    session.parked.park(
      subscription,
      '0',
      [{ envelope, state, attempts: 1, crashes: 0, dueMs: process.nowMs + 1e9, lane: undefined }],
      process.nowMs,
    ),
  )
const publish = (process: PostgresWindows, ...envelopes: Envelope[]) =>
  process.write(async (session) => session.log.append(await session.topics.declare(subject), envelopes))
/** So long that everything recorded before is forgotten. */
const forget = (process: PostgresWindows): Promise<void> => process.run(14 * minuteMs)
const identities = async (process: PostgresWindows): Promise<number> =>
  (await process.database.status()).dedupWindows.reduce((sum, window) => sum + window.ids, 0)

describe('behind a broker that may hold duplicates', () => {
  test.each(['waiting', 'attention'] as const)(
    'a repeat of a parked message (%s) is suppressed long after its id was forgotten',
    async (state) => {
      const process = await opened()
      const [parked, applied] = [published('parked', process.nowMs), published('applied', process.nowMs)]
      expect(await process.claim(parked, applied)).toEqual(['new', 'new'])
      await park(process, parked, state)
      await forget(process)
      expect(await identities(process)).toBe(0)
      expect(await process.claim(parked, applied)).toEqual(['seen', 'too-old'])
      expect(await process.claim(parked, applied)).toEqual(['seen', 'seen'])
    },
  )

  test('the id of a parked message with other data is told', async () => {
    const process = await opened()
    const note = published('a', process.nowMs, 'first')
    await process.claim(note)
    await park(process, note, 'attention')
    await forget(process)
    expect(await process.claim(published('a', process.nowMs, 'other'))).toEqual(['id-reused'])
  })
})

describe('published into the database', () => {
  test('a repeat of a message that is parked with a group is a duplicate long after its id was forgotten', async () => {
    const process = await opened()
    const [parked, applied] = [published('parked', process.nowMs), published('applied', process.nowMs)]
    expect(await publish(process, parked, applied)).toEqual(['accepted', 'accepted'])
    await park(process, parked, 'waiting')
    await forget(process)
    expect(await identities(process)).toBe(0)
    expect(await publish(process, parked, applied)).toEqual(['duplicate', 'accepted'])
    await forget(process)
    expect(await publish(process, published('parked', process.nowMs, 'other'))).toEqual(['id-reused'])
  })

  test('and so is a repeat of one that is to be delivered later than the window reaches', async () => {
    const process = await opened()
    const later: Envelope = { ...published('later', process.nowMs), deliverAtMs: process.nowMs + 365 * 24 * 60 * minuteMs }
    expect(await publish(process, later)).toEqual(['accepted'])
    await forget(process)
    expect(await identities(process)).toBe(0)
    expect(await publish(process, later)).toEqual(['duplicate'])
    await forget(process)
    expect(await publish(process, { ...later, json: '{"other":1}' })).toEqual(['id-reused'])
    expect((await process.database.status()).scheduled).toBe(1)
  })
})
