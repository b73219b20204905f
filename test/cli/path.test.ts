import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readPath, textAt } from '../../src/cli/path.ts'

function at(data: unknown, path: string) {
  return textAt(data, readPath('--id', path))
}

describe('a path into a line', () => {
  test.each([
    ['id', { id: 'a' }],
    ['delivery.id', { delivery: { id: 'a' } }],
    ['items[1].id', { items: [{}, { id: 'a' }] }],
    ['items.1.id', { items: [{}, { id: 'a' }] }],
    ['[0][1]', [['x', 'a']]],
    ['headers["x.request-id"]', { headers: { 'x.request-id': 'a' } }],
    ['headers["with \\"quotes\\""].v', { headers: { 'with "quotes"': { v: 'a' } } }],
    ['ключ.x-y', { ключ: { 'x-y': 'a' } }],
  ])('%s', (path, data) => {
    expect(at(data, path)).toEqual({ text: 'a' })
  })

  test.each(['', '.', 'a.', '.a', 'a..b', 'a[', 'a[x]', 'a]', 'a[1', 'a["x]', 'a[1]b'])(
    '%j is refused, naming the option',
    (path) => {
      expect(() => readPath('--key', path)).toThrow(/--key is .* must be a path/)
    },
  )

  test('any chain of property names is found again when quoted', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (names) => {
        const data = names.reduceRight<unknown>((inner, name) => Object.fromEntries([[name, inner]]), 'found')
        expect(at(data, names.map((name) => `[${JSON.stringify(name)}]`).join(''))).toEqual({ text: 'found' })
      }),
    )
  })

  test('numbers become text; a number that cannot be exact is refused rather than taken for its neighbour', () => {
    expect(at({ id: 17 }, 'id')).toEqual({ text: '17' })
    expect(at({ id: -1.5 }, 'id')).toEqual({ text: '-1.5' })
    expect(at(JSON.parse('{"id":9007199254740993}'), 'id')).toEqual({ problem: expect.stringContaining('too large to be exact') })
    expect(at(JSON.parse('{"id":1e999}'), 'id')).toEqual({ problem: expect.stringContaining('too large to be exact') })
  })

  test.each([
    [{ id: null }, 'id is null'],
    [{ id: true }, 'id is a boolean'],
    [{ id: {} }, 'id is an object'],
    [{ id: [] }, 'id is an array'],
    [{ id: '' }, 'is empty'],
    [{}, 'nothing at id'],
    [null, 'nothing at id'],
    [5, 'nothing at id'],
  ])('%j has no id, and the reason says why', (data, reason) => {
    expect(at(data, 'id')).toEqual({ problem: expect.stringContaining(reason) })
  })

  test('what every object inherits is not data', () => {
    expect(at({}, 'toString')).toEqual({ problem: expect.stringContaining('nothing at') })
    expect(at({}, 'constructor.name')).toEqual({ problem: expect.stringContaining('nothing at') })
    expect(at('text', 'length')).toEqual({ problem: expect.stringContaining('nothing at') })
  })
})
