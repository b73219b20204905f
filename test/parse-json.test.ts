import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson } from '../src/parse-json.ts'

/**
 * Keys that `JSON.parse` of V8 13.6 (Node 24.21) takes for one that was seen before: as much of their text as they are long is that key.
 * The key before makes the place a new one, so that nothing else has been seen there.
 */
const mistaken = [
  { seen: String.raw`\\`, written: String.raw`\n`, key: '\n' },
  { seen: String.raw`\\`, written: String.raw`\"`, key: '"' },
  { seen: String.raw`\\`, written: String.raw`\u2028`, key: '\u2028' },
  { seen: String.raw`Line\\`, written: String.raw`Line\n`, key: 'Line\n' },
  { seen: String.raw`€\\`, written: String.raw`€\t`, key: '€\t' },
  { seen: String.raw`\\u`, written: String.raw`\u0041b`, key: 'Ab' },
  { seen: String.raw`\\\\\\`, written: String.raw`\\\nq`, key: '\\\nq' },
  { seen: String.raw`a\\u005f_p`, written: String.raw`a\u005f_proto_`, key: 'a__proto_' },
]

describe('parseJson reads', () => {
  test.each(mistaken)('the key "$written" as it is, also where the key "$seen" has been seen', ({ seen, written, key }) => {
    const before = `before ${written.replaceAll(/\W/g, '')} ${mistaken.findIndex((one) => one.key === key)}`
    JSON.parse(`{"${before}":[],"${seen}":0}`)
    expect(Object.entries(parseJson(`{"${before}":"\\t","${written}":2}`) as object)).toEqual([
      [before, '\t'],
      [key, 2],
    ])
  })

  test.each([' ', '\n', '\r', '\t', '\t \r\n'])('such a key with %j between it and its colon', (space) => {
    const before = `white ${space.length} ${space.charCodeAt(0)}`
    JSON.parse(String.raw`{"${before}":[],"\\":0}`)
    expect(Object.keys(parseJson(String.raw`{"${before}":1,"\n"${space}:2}`) as object)).toEqual([before, '\n'])
  })

  test('such keys at any depth of one text, beside the keys they would be taken for', () => {
    const text = String.raw`[{"one":1,"\\":2},{"one":1,"\n":2},{"in":[[{"one":"\\","\"":{"one":1,"\u000a":"\"\\\":"}}]]}]`
    const want = [{ one: 1, '\\': 2 }, { one: 1, '\n': 2 }, { in: [[{ one: '\\', '"': { one: 1, '\n': '"\\":' } }]] }]
    expect(parseJson(text)).toStrictEqual(want)
  })

  test('the last of repeated keys, in the place of the first, however each is written', () => {
    const keysAndValues = (text: string) => JSON.stringify(parseJson(text))
    expect(keysAndValues(String.raw`{"a":1,"b":2,"\u0061":3}`)).toBe('{"a":3,"b":2}')
    expect(keysAndValues(String.raw`{"\u0061":1,"b":2,"a":3}`)).toBe('{"a":3,"b":2}')
    expect(keysAndValues(String.raw`{"a":1,"b":2,"\u0061":3,"a":4}`)).toBe('{"a":4,"b":2}')
    expect(keysAndValues(String.raw`{"\n":1,"b":2,"\n":{"c":3}}`)).toBe(String.raw`{"\n":{"c":3},"b":2}`)
  })

  test('keys like integers before all others, as every object has them', () => {
    expect(JSON.stringify(parseJson(String.raw`{"b":1,"\u0031\u0030":2,"2":3}`))).toBe('{"2":3,"10":2,"b":1}')
  })

  test('__proto__ as a key like any other, however it is written', () => {
    for (const key of ['__proto__', String.raw`\u005f_proto__`]) {
      const value = parseJson(`{"\\n":0,"${key}":{"a":1},"b":{"${key}":{"\\n":2}}}`) as Record<string, unknown>
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
      expect(JSON.stringify(value)).toBe(String.raw`{"\n":0,"__proto__":{"a":1},"b":{"__proto__":{"\n":2}}}`)
    }
  })

  test('objects that look like what it writes objects as', () => {
    const text = String.raw`{"members":["a",1],"\n":{"members":[{"members":[]}]}}`
    expect(JSON.stringify(parseJson(text))).toBe(text)
  })

  test('a text that nests as deep as it is long', () => {
    const depth = 100_000
    let value = parseJson(`${String.raw`[{"\n":`.repeat(depth)}"end"${'}]'.repeat(depth)}`)
    for (let i = 0; i < depth; i++) value = (value as [Record<string, unknown>])[0]['\n']
    expect(value).toBe('end')
  })

  test('very long strings full of escapes, as values and as keys', () => {
    const escapes = String.raw`\n`.repeat(1_000_000)
    const value = parseJson(`{"a":"${escapes}","${escapes}":1}`) as Record<string, unknown>
    expect(Object.keys(value).map((key) => key.length)).toEqual([1, 1_000_000])
    expect(value.a).toBe('\n'.repeat(1_000_000))
  })

  test('any JSON as it was meant, where keys and what they would be taken for are all about', { timeout: 20_000 }, () => {
    let objects = 0
    fc.assert(
      fc.property(
        fc.array(fc.array(member, { minLength: 1, maxLength: 5 }).map(objectOf), { minLength: 10, maxLength: 20 }),
        (all) => {
          const { value, text, size } = arrayOf(all)
          objects += size
          const read = parseJson(text)
          // The order of keys too.
          return JSON.stringify(read) === JSON.stringify(value) && isDeepStrictEqual(read, value)
        },
      ),
      { numRuns: 700 },
    )
    expect(objects).toBeGreaterThan(10_000)
  })
})

test.each([
  '',
  '{',
  '{"a":1,}',
  '{"a" 1}',
  String.raw`{"\n":1,}`,
  String.raw`{"\n":1} {`,
  String.raw`{"\n":[1,2}`,
  String.raw`{"\n`,
  String.raw`{"\n":1,"\x":2}`,
  String.raw`{"\u00zz":1}`,
  String.raw`\"`,
  '{"\n":1}',
])('parseJson refuses %j in the words of JSON.parse', (text) => {
  const refusal = (parse: (text: string) => unknown): unknown => {
    try {
      return { answered: parse(text) }
    } catch (error) {
      return error
    }
  }
  expect(refusal(parseJson)).toBeInstanceOf(SyntaxError)
  expect(refusal(parseJson)).toEqual(refusal(JSON.parse))
})

/** A value, made without reading any text, and one way to write it; `size` is the number of objects in it. */
interface Written {
  readonly value: unknown
  readonly text: string
  readonly size: number
}

const string = fc
  .oneof(
    {
      weight: 9,
      arbitrary: fc.array(
        fc.constantFrom(
          ...['a', 'u', '0', '€', 'é', ' ', '{', '}', ':', ','].map((character) => [character, character] as const),
          ...['"', '\\', '\n', '\t'].map((character) => [character, JSON.stringify(character).slice(1, -1)] as const),
          ['/', String.raw`\/`] as const,
          ...['a', '0', '\\', '"', '\n', '\u2028', '€', '\ud800'].map(
            (character) => [character, String.raw`\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`] as const,
          ),
        ),
        { maxLength: 3 },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom([['__proto__', '__proto__']] as const, [['__proto__', String.raw`\u005f_proto__`]] as const),
    },
  )
  .map((characters) => ({
    value: characters.map(([value]) => value).join(''),
    text: characters.map(([, text]) => text).join(''),
  }))

const gap = fc.constantFrom('', '', '', ' ', '\n', '\r\t ')
type Member = readonly [key: { readonly value: string; readonly text: string }, gap: string, value: Written]

function arrayOf(elements: readonly Written[]): Written {
  return {
    value: elements.map(({ value }) => value),
    text: `[${elements.map(({ text }) => text).join()}]`,
    size: elements.reduce((sum, { size }) => sum + size, 0),
  }
}

function objectOf(members: readonly Member[]): Written {
  const value = {}
  for (const [key, , member] of members) {
    Object.defineProperty(value, key.value, { value: member.value, writable: true, enumerable: true, configurable: true })
  }
  return {
    value,
    text: `{${members.map(([key, gap, member]) => `${gap}"${key.text}"${gap}:${gap}${member.text}${gap}`).join()}}`,
    size: members.reduce((sum, [, , { size }]) => sum + size, 1),
  }
}

const { member } = fc.letrec<{ member: Member; json: Written }>((tie) => ({
  member: fc.tuple(string, gap, tie('json')),
  json: fc.oneof(
    { maxDepth: 2 },
    fc.oneof(
      string.map(({ value, text }) => ({ value, text: `"${text}"`, size: 0 })),
      fc.constantFrom(...[0, 1.5, 1e21, true, null].map((value) => ({ value, text: String(value), size: 0 }))),
      fc.constant({ value: -0, text: '-0', size: 0 }),
    ),
    fc.array(tie('json'), { maxLength: 4 }).map(arrayOf),
    fc.array(tie('member'), { maxLength: 5 }).map(objectOf),
  ),
}))
