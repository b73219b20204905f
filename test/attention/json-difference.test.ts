import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JsonChange } from '../../src/attention/json-difference.ts'
import { jsonDifference } from '../../src/attention/json-difference.ts'

describe('the difference of two JSON values', () => {
  test.each<[string, unknown, unknown, JsonChange[]]>([
    ['equal values', { a: [1, { b: null }] }, { a: [1, { b: null }] }, []],
    ['another order of the properties', { a: 1, b: 2 }, { b: 2, a: 1 }, []],
    [
      'a property added, one removed, one changed',
      { old: 1, same: 2, other: 'x' },
      { same: 2, other: 'y', fresh: [1] },
      [
        { path: 'old', kind: 'removed', before: 1 },
        { path: 'other', kind: 'changed', before: 'x', after: 'y' },
        { path: 'fresh', kind: 'added', after: [1] },
      ],
    ],
    [
      'deep in lists, by place',
      { items: [{ price: 1 }, { price: 2 }, { price: 3 }] },
      { items: [{ price: 1 }, { price: 20 }] },
      [
        { path: 'items[1].price', kind: 'changed', before: 2, after: 20 },
        { path: 'items[2]', kind: 'removed', before: { price: 3 } },
      ],
    ],
    ['another kind of value', { a: [1] }, { a: { 0: 1 } }, [{ path: 'a', kind: 'changed', before: [1], after: { 0: 1 } }]],
    ['null is a value', { a: null }, { a: {} }, [{ path: 'a', kind: 'changed', before: null, after: {} }]],
    ['the whole value', 1, 'x', [{ path: '', kind: 'changed', before: 1, after: 'x' }]],
    [
      'names that are no identifiers',
      { 'a b': { c: 1 } },
      { 'a b': { c: 2 } },
      [{ path: '["a b"].c', kind: 'changed', before: 1, after: 2 }],
    ],
    [
      'a property called __proto__',
      JSON.parse('{"__proto__":1}'),
      JSON.parse('{}'),
      [{ path: '__proto__', kind: 'removed', before: 1 }],
    ],
  ])('%s', (_, before, after, changes) => {
    expect(jsonDifference(before, after)).toEqual(changes)
  })

  test('is empty exactly when the values are equal', () => {
    const json = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown)
    fc.assert(
      fc.property(json, json, (before, after) => {
        expect(jsonDifference(before, before)).toEqual([])
        expect(jsonDifference(before, after).length === 0).toBe(sorted(before) === sorted(after))
      }),
    )
  })
})

function sorted(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}
