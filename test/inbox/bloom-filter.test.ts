import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BloomFilter, CollectedKeys, KeyHash } from '../../src/inbox/bloom-filter.ts'
import { idKey } from '../../src/inbox/id-key.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const digest = (i: number) => new Uint8Array(createHash('sha256').update(String(i)).digest().subarray(0, 16))
const uuid = (i: number) => {
  // Version 7: a time in ms, a counter, and little that is random.
  const ms = (0x0190b7a27c1e + (i >> 4)).toString(16).padStart(12, '0')
  return idKey(`${ms.slice(0, 8)}-${ms.slice(8)}-7${(i & 15).toString(16).padStart(3, '0')}-8000-0000000000aa`)
}

/** How the ids come that a filter is asked about, first in the filter's generation and then after it. */
const kinds: [string, (i: number) => Uint8Array][] = [
  ['digests', digest],
  ['ordered ids', (i) => bytes(`order-${String(i).padStart(8, '0')}`)],
  ['numbers', (i) => bytes(String(i))],
  ['ordered UUIDs', uuid],
  ['32-bit counters', (i) => Uint8Array.of(i >>> 24, i >>> 16, i >>> 8, i)],
  ['long ids that differ in front', (i) => bytes(`${i}/events/of/the/shop`.slice(0, 32))],
]

describe('a Bloom filter', () => {
  test('never denies a key it was made of, also when stored and restored, and with more keys than were announced', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.nat(50), (keys, count) => {
        const filter = BloomFilter.of(keys, count)
        const restored = BloomFilter.fromBytes(new Uint8Array(filter.toBytes()))
        for (const key of keys) expect([filter.mightContain(key), restored?.mightContain(key)]).toEqual([true, true])
      }),
      { numRuns: 500 },
    )
  })

  test.each(kinds)('of %s never denies one, and takes fewer than 3 in 1,000 others for one', (_kind, key) => {
    const count = 30_000
    const between = BloomFilter.of(
      Array.from({ length: count }, (_, i) => key(2 * i)),
      count,
    )
    const before = BloomFilter.of(
      Array.from({ length: count }, (_, i) => key(i)),
      count,
    )
    let denied = 0
    let mistaken = 0
    for (let i = 0; i < count; i++) {
      if (!between.mightContain(key(2 * i)) || !before.mightContain(key(i))) denied++
      if (between.mightContain(key(2 * i + 1))) mistaken++
      if (before.mightContain(key(count + i))) mistaken++
    }
    expect(denied).toBe(0)
    expect(mistaken / (2 * count)).toBeLessThan(0.003)
  })

  test('of keys that were collected while they came is the same filter', () => {
    const keys = Array.from({ length: 1_000 }, (_, i) => uuid(i))
    const collected = new CollectedKeys()
    const hash = new KeyHash()
    for (const key of keys) collected.add(hash.of(key))
    expect(BloomFilter.ofCollected(collected).toBytes()).toEqual(BloomFilter.of(keys, keys.length).toBytes())
    for (const key of keys) expect(BloomFilter.ofCollected(collected).mightContain(hash.of(key))).toBe(true)
  })

  test('takes 1.6 to 3.2 bytes a key, and as much for a generation that is a fifth over its size', () => {
    expect(BloomFilter.of([], 65_536).toBytes().length).toBe(131_080)
    expect(BloomFilter.of([], 81_920).toBytes().length).toBe(131_080)
    expect(BloomFilter.of([], 81_921).toBytes().length).toBe(262_152)
    for (const count of [100, 1_000, 1_000_000]) {
      const { length } = BloomFilter.of([], count).bits
      expect(length / count).toBeGreaterThanOrEqual(1.6)
      expect(length / count).toBeLessThan(3.2)
    }
  })

  test('of nothing denies everything', () => {
    const none = BloomFilter.of([], 0)
    for (let i = 0; i < 1000; i++) expect(none.mightContain(digest(i))).toBe(false)
    expect(BloomFilter.fromBytes(none.toBytes())?.mightContain(digest(1))).toBe(false)
  })

  test('is stored data and never changes: other bits would deny the keys of filters already stored', () => {
    const keys = ['evt_1', 'evt_2', 'order-00000001', 'é', '0190b7a2-7c1e-7f00-8000-00000000abcd', 'x'.repeat(50)].map(idKey)
    expect(Buffer.from(BloomFilter.of(keys, 6).toBytes()).toString('hex')).toBe(
      '0208000093c97f797142060515209488a882e9a884163208',
    )
  })

  test('is not restored from bytes that were damaged, cut or of another version', () => {
    const stored = BloomFilter.of([digest(1), digest(2)], 100).toBytes()
    expect(BloomFilter.fromBytes(stored)).toBeInstanceOf(BloomFilter)
    for (const [at, damaged] of [...stored.keys()].map((at) => [at, new Uint8Array(stored)] as const)) {
      if (at === 2 || at === 3) continue
      damaged[at] = (damaged[at] as number) ^ 4
      expect(BloomFilter.fromBytes(damaged)).toBe(undefined)
    }
    for (const length of [0, 7, 8, 15, stored.length - 1])
      expect(BloomFilter.fromBytes(stored.subarray(0, length))).toBe(undefined)
  })

  test('is restored from bytes that lie inside others', () => {
    const stored = BloomFilter.of([digest(1)], 100).toBytes()
    const around = new Uint8Array(stored.length + 20)
    around.set(stored, 13)
    expect(BloomFilter.fromBytes(around.subarray(13, 13 + stored.length))?.mightContain(digest(1))).toBe(true)
  })

  test('refuses a count that is none', () => {
    for (const count of [-1, 1.5, Number.NaN, 2 ** 29]) expect(() => BloomFilter.of([], count)).toThrow('count is')
  })
})
