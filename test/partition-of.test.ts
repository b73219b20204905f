import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isOnefoldError } from '../src/errors.ts'
import { partitionOf } from '../src/partition-of.ts'

/** With as many partitions as there are hashes, the partition is the hash. */
const hashOf = (text: string) => partitionOf(text, 2 ** 32)

/** MurmurHash3 x86_32 over bytes, as its author wrote it, in 64-bit integers. */
function referenceHash(text: string): number {
  const bytes = Buffer.from(text, 'utf8')
  const word = (n: bigint) => BigInt.asUintN(32, n)
  const rotate = (n: bigint, bits: bigint) => word(n << bits) | (n >> (32n - bits))
  const mix = (block: bigint) => word(rotate(word(block * 0xcc9e2d51n), 15n) * 0x1b873593n)
  let hash = 0n
  let at = 0
  for (; at + 4 <= bytes.length; at += 4) hash = word(rotate(hash ^ mix(BigInt(bytes.readUInt32LE(at))), 13n) * 5n + 0xe6546b64n)
  if (at < bytes.length) hash ^= mix(BigInt(bytes.readUIntLE(at, bytes.length - at)))
  hash ^= BigInt(bytes.length)
  hash = word((hash ^ (hash >> 16n)) * 0x85ebca6bn)
  hash = word((hash ^ (hash >> 13n)) * 0xc2b2ae35n)
  return Number(hash ^ (hash >> 16n))
}

function loads(texts: readonly string[], partitions: number): number[] {
  const counts = new Array<number>(partitions).fill(0)
  for (const text of texts) counts[partitionOf(text, partitions)] = (counts[partitionOf(text, partitions)] as number) + 1
  return counts
}

describe('the partition of a key', () => {
  test.each([
    ['', 0, 0],
    ['a', 2, 178],
    ['acc-1042', 1, 185],
    ['acc-1043', 0, 72],
    ['0190b7a2-7c1e-7f00-8000-00000000abcd', 0, 232],
    ['Straße 5', 3, 35],
    ['日本', 2, 66],
    ['😀', 2, 250],
  ])('%j is stored data and never changes', (key, ofEight, ofMany) => {
    expect(partitionOf(key, 8)).toBe(ofEight)
    expect(partitionOf(key, 256)).toBe(ofMany)
  })

  test('rests on the published vectors of MurmurHash3 with seed 0', () => {
    expect(hashOf('')).toBe(0)
    expect(hashOf('test')).toBe(0xba6bd213)
    expect(hashOf('Hello, world!')).toBe(0xc0363e43)
    expect(hashOf('The quick brown fox jumps over the lazy dog')).toBe(0x2e4ff723)
  })

  test('is the hash of its UTF-8 bytes, whatever the letters', () => {
    const unit = fc.oneof(
      fc.constantFrom('a', '\u007f', '\u0080', 'ÿ', 'Ā', '日', '😀'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    )
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit, maxLength: 20 }), fc.string({ unit: 'grapheme-ascii' })), (text) => {
        expect(hashOf(text)).toBe(referenceHash(text))
      }),
      { numRuns: 2000 },
    )
  })

  test.each([1, 2, 3, 8, 10, 256])('spreads ordered keys evenly over %i partitions', (partitions) => {
    const mean = 400
    const numbered = Array.from({ length: mean * partitions }, (_, i) => `acc-${i}`)
    const padded = Array.from(
      { length: mean * partitions },
      (_, i) => `0190b7a2-7c1e-7f00-8000-${i.toString(16).padStart(12, '0')}`,
    )
    // Of balls thrown at random, one bin in 30,000 is this far (4.2 standard deviations) off the mean.
    const far = 4.2 * Math.sqrt(mean)
    for (const count of [...loads(numbered, partitions), ...loads(padded, partitions)])
      expect(Math.abs(count - mean)).toBeLessThan(far)
  })

  test('is refused when there is no partition', () => {
    for (const partitions of [0, -1, 1.5, Number.NaN]) {
      expect(() => partitionOf('a', partitions)).toThrow('partitions is')
      try {
        partitionOf('a', partitions)
      } catch (error) {
        expect(isOnefoldError(error, 'OPTION_INVALID')).toBe(true)
      }
    }
  })
})
