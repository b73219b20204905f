import { describe, expect, onTestFinished, test } from 'vitest'
import type { AppendStatus } from '../../../src/database/database.ts'
import { topic } from '../../../src/index.ts'
import type { Envelope } from '../../../src/message.ts'
import { minuteMs, published, WindowDatabase } from '../../support/window-database.ts'

const subscription = { topic: 't', group: 'g' }
const subject = topic<unknown>('t', { partitions: 1 })

async function opened(): Promise<WindowDatabase> {
  const file = await WindowDatabase.open({ ms: 8 * minuteMs })
  onTestFinished(() => file.close())
  return file
}

const park = (file: WindowDatabase, envelope: Envelope, state: 'waiting' | 'attention'): Promise<void> =>
  file.write((session) =>
    session.parked.park(
      subscription,
      '0',
      [{ envelope, state, attempts: 1, crashes: 0, dueMs: file.nowMs + 1e9, lane: undefined }],
      file.nowMs,
    ),
  )
const elsewhere = topic<unknown>('u', { partitions: 1 })
const publishTo = (to: typeof subject, file: WindowDatabase, envelopes: readonly Envelope[]): Promise<readonly AppendStatus[]> =>
  file.write(async (session) => session.log.append(await session.topics.declare(to), envelopes))
const publish = (file: WindowDatabase, ...envelopes: Envelope[]): Promise<readonly AppendStatus[]> =>
  publishTo(subject, file, envelopes)
/** So long that everything recorded before is forgotten. */
const forget = (file: WindowDatabase): Promise<void> => file.run(14 * minuteMs)
const identities = async (file: WindowDatabase): Promise<number> =>
  (await file.database.status()).dedupWindows.reduce((sum, window) => sum + window.ids, 0)

describe('behind a broker that may hold duplicates', () => {
  test.each(['waiting', 'attention'] as const)(
    'a repeat of a parked message (%s) is suppressed long after its id was forgotten',
    async (state) => {
      const file = await opened()
      const [parked, applied] = [published('parked', file.nowMs), published('applied', file.nowMs)]
      expect(await file.claim(parked, applied)).toEqual(['new', 'new'])
      await park(file, parked, state)
      await forget(file)
      expect(await identities(file)).toBe(0)
      expect(await file.claim(parked, applied)).toEqual(['seen', 'too-old'])
      expect(await file.claim(parked, applied)).toEqual(['seen', 'seen'])
    },
  )

  test('the id of a parked message with other data is told, and not when it is the message that was edited', async () => {
    const file = await opened()
    const note = published('a', file.nowMs, 'first')
    await file.claim(note)
    await park(file, note, 'attention')
    await forget(file)
    expect(await file.claim(published('a', file.nowMs, 'other'))).toEqual(['id-reused'])
    await file.write((session) => {
      const { statements } = session as unknown as { statements: { sql(text: string): { run(): void } } }
      statements.sql(`update {p}parked set data = '"edited"'`).run()
      statements
        .sql(
          `insert into {p}attention (parked, subscription, partition, kind, state, fingerprint, error_name, error_message,
             error_stack, attempts, crashes, since_ms, source, id, time_ms, data) values (1, 1, '0', '', '', '', '', '', '', 1, 0, 0, '', '', 0, '')`,
        )
        .run()
      statements
        .sql(
          `insert into {p}revision (attention, subscription, source, id, by, at_ms, before, after)
           select 1, subscription, source, id, 'ann', 0, '', '' from {p}parked`,
        )
        .run()
    })
    await forget(file)
    expect(await file.claim(note)).toEqual(['seen'])
  })
})

describe('published into the database', () => {
  test('a repeat of a message that is parked with a group is a duplicate long after its id was forgotten', async () => {
    const file = await opened()
    const [parked, applied] = [published('parked', file.nowMs), published('applied', file.nowMs)]
    expect(await publish(file, parked, applied)).toEqual(['accepted', 'accepted'])
    await park(file, parked, 'waiting')
    await forget(file)
    expect(await identities(file)).toBe(0)
    const other = published('parked', file.nowMs, 'other')
    expect(await publish(file, parked, applied)).toEqual(['duplicate', 'accepted'])
    await forget(file)
    expect(await publish(file, other)).toEqual(['id-reused'])
  })

  test('and so is a repeat of one that is to be delivered later than the window reaches', async () => {
    const file = await opened()
    const later: Envelope = { ...published('later', file.nowMs), deliverAtMs: file.nowMs + 365 * 24 * 60 * minuteMs }
    expect(await publish(file, later)).toEqual(['accepted'])
    await forget(file)
    expect(await identities(file)).toBe(0)
    expect(await publish(file, later)).toEqual(['duplicate'])
    await forget(file)
    expect(await publish(file, { ...later, json: '{"other":1}' })).toEqual(['id-reused'])
    expect((await file.database.status()).scheduled).toBe(1)
  })

  test('another topic, source or id, or a number of its own, is another message, and a duplicate of one topic is none of another', async () => {
    const file = await opened()
    const deliverAtMs = file.nowMs + 365 * 24 * 60 * minuteMs
    const [parked, later] = [published('parked', file.nowMs), { ...published('later', file.nowMs), deliverAtMs }]
    await publish(file, parked, later, { ...published('numbered', file.nowMs), deliverAtMs, sequence: 1n })
    await publishTo(elsewhere, file, [published('first', file.nowMs)])
    await park(file, parked, 'waiting')
    await forget(file)
    expect(await publishTo(elsewhere, file, [parked, later])).toEqual(['accepted', 'accepted'])
    const others = [{ ...later, source: 'other' }, published('other', file.nowMs), published('numbered', file.nowMs)]
    expect(await publish(file, ...others)).toEqual(['accepted', 'accepted', 'accepted'])
    expect(await publish(file, parked, later)).toEqual(['duplicate', 'duplicate'])
    const { topics } = await file.database.status()
    expect(topics.map(({ name, duplicates }) => [name, duplicates])).toEqual([
      ['t', 2],
      ['u', 0],
    ])
  })

  test('what is nowhere any more is taken again, whatever time it states', async () => {
    const file = await opened()
    const note = published('a', file.nowMs - 24 * 60 * minuteMs)
    await publish(file, note)
    await forget(file)
    expect(await publish(file, note)).toEqual(['accepted'])
  })
})
