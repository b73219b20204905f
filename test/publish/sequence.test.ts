import { expect, test } from 'vitest'
import { SequenceSet } from '../../src/inbox/sequence-set.ts'
import { topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { rejection } from '../support/until.ts'

const ticks = topic<{ value: string }>('ticks', { partitions: 2 })
const body = (sequence: bigint) => ({ value: `${sequence}` })

test('numbers are recognised in any order of arrival, with gaps, after a restart and over two sources', async () => {
  const file = new TemporaryFile('')
  const arrivals = [10n, 4n, 5n, 10n, 6n, 4n, 100n, 7n, 8n, 9n, 99n, 5n, 100n, 0n]
  const seen = new Set<bigint>()
  let app = file.app({ source: 'meter' })
  for (const [index, sequence] of arrivals.entries()) {
    if (index % 5 === 4) {
      await app.stop()
      app = file.app({ source: 'meter' })
    }
    const receipt = await app.publish(ticks, body(sequence), { sequence })
    expect([sequence, receipt.status]).toEqual([sequence, seen.has(sequence) ? 'duplicate' : 'accepted'])
    seen.add(sequence)
  }
  expect((await file.app({ source: 'other' }).publish(ticks, body(10n), { sequence: 10n })).status).toBe('accepted')
  expect(
    file.column("select ranges from onefold_sequence s join onefold_source o using (source) where o.name = 'meter'"),
  ).toHaveLength(1)
})

test('the number is the identity, not the id beside it; another body under it is refused', async () => {
  const app = new TemporaryFile('').app()
  expect((await app.publish(ticks, body(1n), { sequence: 1n, id: 'a' })).status).toBe('accepted')
  expect((await app.publish(ticks, body(1n), { sequence: 1n, id: 'b' })).status).toBe('duplicate')
  expect((await app.publish(ticks, body(2n), { sequence: 2n, id: 'a' })).status).toBe('accepted')
  expect((await app.publish(ticks, body(1n), { id: '1' })).status).toBe('accepted')
  expect(await rejection(app.publish(ticks, { value: 'other' }, { sequence: 1n }))).toMatchObject({ code: 'ID_REUSED' })
})

test('numbers beyond 2^53 keep their last digit, in the log, for the handler and for parked messages', async () => {
  const file = new TemporaryFile('')
  const app = file.app()
  const base = 2n ** 53n
  const numbers = [base, base + 1n, base + 2n, 2n ** 63n - 1n]
  const seen: (bigint | undefined)[] = []
  app.consume(ticks, {
    group: 'g',
    inlineAttempts: 1,
    backoffMs: 0,
    apply: (_tick, { message, attempt }) => {
      if (attempt === 1) throw new Error('once')
      seen.push(message.sequence)
    },
  })
  await app.publishMany(
    ticks,
    numbers.map((sequence) => ({ data: body(sequence), sequence })),
  )
  expect(
    await app.publishMany(
      ticks,
      numbers.map((sequence) => ({ data: body(sequence), sequence })),
    ),
  ).toMatchObject(numbers.map((sequence) => ({ status: 'duplicate', id: `${sequence}` })))
  await app.start()
  await app.idle()
  expect(seen.toSorted()).toEqual(numbers)
})

test('a hundred thousand numbers cost one row, not a hundred thousand', async () => {
  const file = new TemporaryFile('')
  const app = file.app()
  const numbers = Array.from({ length: 20_000 }, (_, number) => BigInt(number))
  await app.publishMany(
    ticks,
    numbers.map((sequence) => ({ data: { value: 'same' }, sequence })),
  )
  expect(file.column('select ranges from onefold_sequence')).toHaveLength(1)
  expect(file.column<number>('select count(*) from onefold_sequence_body')[0]).toBeLessThan(4_096 + 128)
  expect(file.column('select count(*) from onefold_identity')).toEqual([0])
  const again = await app.publishMany(
    ticks,
    [0n, 1n, 9_999n, 19_999n].map((sequence) => ({ data: { value: 'same' }, sequence })),
  )
  expect(again.map((receipt) => receipt.status)).toEqual(Array(4).fill('duplicate'))
})

test('too many gaps are an error that names the source; nothing is forgotten, and numbers that fill a gap are taken', async () => {
  const file = new TemporaryFile('')
  let app = file.app()
  await app.publish(ticks, { value: 'x' }, { sequence: 0n })
  await app.stop()
  // Every second number up to 20,000, as if they had come one by one.
  const full = SequenceSet.from(undefined, { source: 'ticks' })
  for (let number = 0n; number < 20_000n; number += 2n) full.add(number)
  file.exec(`update onefold_sequence set ranges = '${full.toStored()}'`)
  app = file.app()
  const error = await rejection(app.publish(ticks, { value: 'x' }, { sequence: 50_000n }))
  expect(error).toMatchObject({ code: 'GAPS_EXCEEDED' })
  expect((await app.publish(ticks, { value: 'x' }, { sequence: 3n })).status).toBe('accepted')
  expect((await app.publish(ticks, { value: 'x' }, { sequence: 4n })).status).toBe('duplicate')
  expect((await app.publish(ticks, { value: 'x' }, { sequence: 50_000n })).status).toBe('accepted')
})

test('many apps on one file number and publish side by side: each number goes in once', async () => {
  const file = new TemporaryFile('')
  const apps = [file.app({ source: 's' }), file.app({ source: 's' }), file.app({ source: 's' })]
  const receipts = await Promise.all(
    apps.flatMap((app, shift) =>
      Array.from({ length: 100 }, async (_, index) => {
        const sequence = BigInt((index * 7 + shift * 31) % 100)
        return app.publish(ticks, body(sequence), { sequence })
      }),
    ),
  )
  expect(receipts.filter((receipt) => receipt.status === 'accepted')).toHaveLength(100)
  expect(file.column('select count(distinct sequence) from onefold_log')).toEqual([100])
})
