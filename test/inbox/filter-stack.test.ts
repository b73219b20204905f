import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BloomFilter, KeyHash } from '../../src/inbox/bloom-filter.ts'
import { FilterStack } from '../../src/inbox/filter-stack.ts'
import { idKey } from '../../src/inbox/id-key.ts'

const hash = new KeyHash()
const key = (name: string, i: number): Uint8Array => idKey(`${name}-${i}`)

/** Of the size of a whole generation, with few keys in it, or as small as these keys need. */
function filter(name: string, keys: number, size = 65_536): BloomFilter {
  return BloomFilter.of(
    Array.from({ length: keys }, (_, i) => key(name, i)),
    size,
  )
}

describe('filters asked together', () => {
  test('answer as each of them does, whatever was added and removed before', () => {
    const names = Array.from({ length: 20 }, (_, i) => `generation-${i}`)
    // Names are given again, to other filters and to filters of other sizes.
    const made = new Map(
      names.flatMap((name) =>
        [0, 1, 2].map((version) => [`${name}/${version}`, filter(`${name}/${version}`, 50, version === 2 ? 50 : 65_536)]),
      ),
    )
    fc.assert(
      fc.property(
        fc.array(fc.record({ name: fc.constantFrom(...names), version: fc.nat(2), remove: fc.boolean() }), { maxLength: 60 }),
        (steps) => {
          const stack = new FilterStack()
          const single = new Map<string, BloomFilter>()
          for (const { name, version, remove } of steps) {
            if (remove) {
              stack.delete(name)
              single.delete(name)
            } else {
              const next = made.get(`${name}/${version}`) as BloomFilter
              stack.add(name, next)
              single.set(name, next)
            }
          }
          for (const name of names) expect(stack.has(name)).toBe(single.has(name))
          for (const of of made.keys()) {
            for (let i = 0; i < 60; i += 7) {
              hash.of(key(of, i))
              const expected = [...single].filter(([, one]) => one.mightContain(hash)).map(([name]) => name)
              expect(stack.mayContain(hash).toSorted()).toEqual(expected.toSorted())
            }
          }
        },
      ),
      { numRuns: 15 },
    )
  }, 60_000)

  test('deny no key of any of them, in whichever place of the stack it is', () => {
    const stack = new FilterStack()
    const names = Array.from({ length: 20 }, (_, i) => `g${i}`)
    for (const name of names) stack.add(name, filter(name, 30))
    const denied = names.filter((name) => {
      for (let i = 0; i < 30; i++) if (!stack.mayContain(hash.of(key(name, i))).includes(name)) return true
      return false
    })
    expect(denied).toEqual([])
  })

  test('let go of all but those that are kept', () => {
    const stack = new FilterStack()
    for (let i = 0; i < 20; i++) stack.add(`g${i}`, filter(`g${i}`, 10))
    stack.keepOnly(new Set(['g3', 'g17', 'other']))
    expect(Array.from({ length: 20 }, (_, i) => `g${i}`).filter((name) => stack.has(name))).toEqual(['g3', 'g17'])
    expect(stack.mayContain(hash.of(key('g3', 5)))).toEqual(['g3'])
    expect(stack.mayContain(hash.of(key('g4', 5)))).toEqual([])
  })

  test('a filter that comes in the place of another of that name answers alone', () => {
    const stack = new FilterStack()
    stack.add('g', filter('before', 10))
    stack.add('g', filter('after', 10))
    expect(stack.mayContain(hash.of(key('before', 5)))).toEqual([])
    expect(stack.mayContain(hash.of(key('after', 5)))).toEqual(['g'])
  })
})
