import { expect, test } from 'vitest'
import { SequenceSet } from '../../src/inbox/sequence-set.ts'
import { topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { rejection } from '../support/until.ts'

const ticks = topic<{ value: string }>('ticks', { partitions: 2 })
const body = (sequence: bigint) => ({ value: `${sequence}` })

describeOnEngines('sequence', (engine) => {
  test('numbers are recognised in any order of arrival, with gaps, after a restart and over two sources', async () => {
    const store = await engine.store('')
    const arrivals = [10n, 4n, 5n, 10n, 6n, 4n, 100n, 7n, 8n, 9n, 99n, 5n, 100n, 0n]
    const seen = new Set<bigint>()
    let app = store.app({ source: 'meter' })
    for (const [index, sequence] of arrivals.entries()) {
      if (index % 5 === 4) {
        await app.stop()
        app = store.app({ source: 'meter' })
      }
      const receipt = await app.publish(ticks, body(sequence), { sequence })
      expect([sequence, receipt.status]).toEqual([sequence, seen.has(sequence) ? 'duplicate' : 'accepted'])
      seen.add(sequence)
    }
    expect((await store.app({ source: 'other' }).publish(ticks, body(10n), { sequence: 10n })).status).toBe('accepted')
    // A row for each source.
    expect(await store.column(`select ranges from ${store.table('sequence')}`)).toHaveLength(2)
  })

  test('the number is the identity, not the id beside it; another body under it is refused', async () => {
    const app = (await engine.store('')).app()
    expect((await app.publish(ticks, body(1n), { sequence: 1n, id: 'a' })).status).toBe('accepted')
    expect((await app.publish(ticks, body(1n), { sequence: 1n, id: 'b' })).status).toBe('duplicate')
    expect((await app.publish(ticks, body(2n), { sequence: 2n, id: 'a' })).status).toBe('accepted')
    expect((await app.publish(ticks, body(1n), { id: '1' })).status).toBe('accepted')
    expect(await rejection(app.publish(ticks, { value: 'other' }, { sequence: 1n }))).toMatchObject({ code: 'ID_REUSED' })
  })

  test('numbers beyond 2^53 keep their last digit, in the log, for the handler and for parked messages', async () => {
    const store = await engine.store('')
    const app = store.app()
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
    const store = await engine.store('')
    const app = store.app()
    const numbers = Array.from({ length: 20_000 }, (_, number) => BigInt(number))
    await app.publishMany(
      ticks,
      numbers.map((sequence) => ({ data: { value: 'same' }, sequence })),
    )
    expect(await store.column(`select ranges from ${store.table('sequence')}`)).toHaveLength(1)
    expect((await store.column<number>(`select count(*) from ${store.table('sequence_body')}`))[0]).toBeLessThan(4_096 + 128)
    expect(await store.column(`select count(*) from ${store.table('identity')}`)).toEqual([0])
    const again = await app.publishMany(
      ticks,
      [0n, 1n, 9_999n, 19_999n].map((sequence) => ({ data: { value: 'same' }, sequence })),
    )
    expect(again.map((receipt) => receipt.status)).toEqual(Array(4).fill('duplicate'))
  })

  test('too many gaps are an error that names the source; nothing is forgotten, and numbers that fill a gap are taken', async () => {
    const store = await engine.store('')
    let app = store.app()
    await app.publish(ticks, { value: 'x' }, { sequence: 0n })
    await app.stop()
    // Every second number up to 20,000, as if they had come one by one.
    const full = SequenceSet.from(undefined, { source: 'ticks' })
    for (let number = 0n; number < 20_000n; number += 2n) full.add(number)
    await store.exec(`update ${store.table('sequence')} set ranges = '${full.toStored()}'`)
    app = store.app()
    const error = await rejection(app.publish(ticks, { value: 'x' }, { sequence: 50_000n }))
    expect(error).toMatchObject({ code: 'GAPS_EXCEEDED' })
    expect((await app.publish(ticks, { value: 'x' }, { sequence: 3n })).status).toBe('accepted')
    expect((await app.publish(ticks, { value: 'x' }, { sequence: 4n })).status).toBe('duplicate')
    expect((await app.publish(ticks, { value: 'x' }, { sequence: 50_000n })).status).toBe('accepted')
  })

  test('many apps on one file number and publish side by side: each number goes in once', async () => {
    const store = await engine.store('')
    const apps = [store.app({ source: 's' }), store.app({ source: 's' }), store.app({ source: 's' })]
    const receipts = await Promise.all(
      apps.flatMap((app, shift) =>
        Array.from({ length: 100 }, async (_, index) => {
          const sequence = BigInt((index * 7 + shift * 31) % 100)
          return app.publish(ticks, body(sequence), { sequence })
        }),
      ),
    )
    expect(receipts.filter((receipt) => receipt.status === 'accepted')).toHaveLength(100)
    expect(await store.column(`select count(distinct sequence) from ${store.log}`)).toEqual([100])
  })
})
