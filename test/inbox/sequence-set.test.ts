import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isOnefoldError } from '../../src/errors.ts'
import { SequenceSet } from '../../src/inbox/sequence-set.ts'

const received = (...sequences: bigint[]) => {
  const set = SequenceSet.from(undefined, { source: 'shop' })
  for (const sequence of sequences) set.add(sequence)
  return set
}

/** The ranges of a plain set of numbers, worked out without cleverness. */
function rangesOf(plain: ReadonlySet<bigint>): { first: bigint; last: bigint }[] {
  const ranges: { first: bigint; last: bigint }[] = []
  for (const sequence of [...plain].sort((a, b) => (a < b ? -1 : 1))) {
    const last = ranges.at(-1)
    if (last !== undefined && last.last + 1n === sequence) last.last = sequence
    else ranges.push({ first: sequence, last: sequence })
  }
  return ranges
}

type Step = { do: 'add'; sequence: bigint } | { do: 'store' } | { do: 'clone' } | { do: 'begin' } | { do: 'roll back' }

const sequence = fc.oneof(
  { weight: 6, arbitrary: fc.bigInt({ min: 0n, max: 30n }) },
  { weight: 2, arbitrary: fc.bigInt({ min: 0n, max: 300n }) },
  { weight: 1, arbitrary: fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }) },
  { weight: 1, arbitrary: fc.bigInt({ min: 2n ** 64n - 3n, max: 2n ** 64n + 3n }) },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: sequence.map((sequence): Step => ({ do: 'add', sequence })) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'store' }, { do: 'clone' }, { do: 'begin' }, { do: 'roll back' }) },
)

/** Takes the steps with a sequence set and a plain set side by side. */
function run(steps: readonly Step[], maxRanges: number): void {
  const options = { source: 'shop', maxRanges }
  let set = SequenceSet.from(undefined, options)
  let plain = new Set<bigint>()
  let begun = { set: set.clone(), plain: new Set(plain) }
  for (const next of steps) {
    if (next.do === 'store') set = SequenceSet.from(set.toStored(), options)
    else if (next.do === 'clone') set = set.clone()
    else if (next.do === 'begin') begun = { set: set.clone(), plain: new Set(plain) }
    else if (next.do === 'roll back') {
      set = begun.set
      plain = begun.plain
      begun = { set: set.clone(), plain: new Set(plain) }
    } else {
      expect(set.has(next.sequence)).toBe(plain.has(next.sequence))
      const after = new Set(plain).add(next.sequence)
      if (rangesOf(after).length > Math.max(maxRanges, rangesOf(plain).length)) {
        expect(() => set.add(next.sequence)).toThrow(/was not taken/)
      } else {
        expect(set.add(next.sequence)).toBe(plain.has(next.sequence) ? 'seen' : 'new')
        plain = after
      }
    }
    expect(set.ranges).toEqual(rangesOf(plain))
    expect(set.watermark).toBe(rangesOf(plain)[0]?.last)
    expect(set.rangesAboveWatermark).toEqual(rangesOf(plain).slice(1))
  }
  for (const { first, last } of set.ranges) {
    for (const near of [first - 1n, first, last, last + 1n]) expect(set.has(near)).toBe(plain.has(near))
  }
}

describe('a sequence set', () => {
  test('says of every number exactly whether it was received: any order, any repetition, stored, cloned and rolled back between', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => run(steps, 10_000)),
      { numRuns: 250 },
    )
  })

  test('over its bound refuses the number and is unchanged; it still takes what opens no range', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), fc.integer({ min: 1, max: 4 }), (steps, maxRanges) =>
        run(steps, maxRanges),
      ),
      { numRuns: 250 },
    )
  })

  test('applies 10 and then 4 of a group that joined late, and each once', () => {
    const set = received(10n)
    expect(set.has(4n)).toBe(false)
    expect(set.add(4n)).toBe('new')
    expect([set.add(10n), set.add(4n)]).toEqual(['seen', 'seen'])
    expect(set.ranges).toEqual([
      { first: 4n, last: 4n },
      { first: 10n, last: 10n },
    ])
  })

  test('moves its watermark over a gap that closes', () => {
    const set = received(1n, 2n, 4n, 5n)
    expect(set.watermark).toBe(2n)
    expect(set.rangesAboveWatermark).toEqual([{ first: 4n, last: 5n }])
    set.add(3n)
    expect(set.watermark).toBe(5n)
    expect(set.rangesAboveWatermark).toEqual([])
  })

  test('has no watermark before the first number, and takes 0', () => {
    const set = received()
    expect(set.watermark).toBe(undefined)
    expect(set.toStored()).toBe('[]')
    expect(set.add(0n)).toBe('new')
    expect(set.add(0n)).toBe('seen')
    expect(set.watermark).toBe(0n)
  })

  test('is stored data: pairs of first and last, as text above 2^53 - 1', () => {
    expect(received(1n, 2n, 3n, 43n).toStored()).toBe('[1,3,43,43]')
    expect(received(2n ** 53n - 1n, 2n ** 53n).toStored()).toBe('[9007199254740991,"9007199254740992"]')
    expect(SequenceSet.from('[1,3,43,43]', { source: 'shop' }).ranges).toEqual(received(1n, 2n, 3n, 43n).ranges)
  })

  test.each([
    '',
    'null',
    '{}',
    '[1]',
    '[3,1]',
    '[5,6,1,2]',
    '[1,2,3,4]',
    '[1,4,3,9]',
    '[-1,1]',
    '[1.5,2]',
    '[1,"2"]',
    '[1,9007199254740993]',
    '[1,2',
  ])('is not restored from %j, which it never wrote', (stored) => {
    let error: unknown
    try {
      SequenceSet.from(stored, { source: 'shop' })
    } catch (thrown) {
      error = thrown
    }
    expect(isOnefoldError(error, 'DATABASE_CORRUPT')).toBe(true)
    expect(String(error)).toContain('source shop')
  })

  test('over its bound names the source, the bound and the first missing number', () => {
    const set = SequenceSet.from('[1,1,3,3]', { source: 'shop', maxRanges: 2 })
    expect(() => set.add(9n)).toThrow(/^Sequence 9 of source shop was not taken: .* the 2 ranges .* missing from 2 on/)
    try {
      set.add(9n)
    } catch (error) {
      expect(error).toMatchObject({
        code: 'GAPS_EXCEEDED',
        outcome: 'not-applied',
        details: { source: 'shop', maxRanges: 2, sequence: '9' },
      })
    }
    expect(set.toStored()).toBe('[1,1,3,3]')
    expect(set.add(2n)).toBe('new')
    expect(set.add(9n)).toBe('new')
    expect(set.toStored()).toBe('[1,3,9,9]')
  })

  test('stored under a higher bound is restored whole', () => {
    const set = SequenceSet.from('[1,1,3,3,5,5]', { source: 'shop', maxRanges: 2 })
    expect(set.ranges.length).toBe(3)
    expect(() => set.add(9n)).toThrow()
    expect(set.add(4n)).toBe('new')
  })

  test('takes 10,000 ranges unless told otherwise', () => {
    const set = received()
    for (let i = 0n; i < 10_000n; i++) set.add(i * 2n)
    expect(() => set.add(30_000n)).toThrow('the 10000 ranges')
  })

  test('refuses a bound that leaves room for nothing', () => {
    for (const maxRanges of [0, Number.NaN])
      expect(() => SequenceSet.from(undefined, { source: 'shop', maxRanges })).toThrow('maxRanges is')
  })

  test('refuses a negative number', () => {
    expect(() => received().add(-1n)).toThrow('sequence of a message of source shop is -1; it must be 0 or more.')
    expect(() => received(0n).add(-1n)).toThrow('it must be 0 or more')
  })
})
