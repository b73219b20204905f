import { createHash } from 'node:crypto'
import { runInNewContext, runInThisContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bodyDigest, toCanonicalJson } from '../src/canonical-json.ts'
import type { OnefoldError } from '../src/errors.ts'
import { isOnefoldError } from '../src/errors.ts'

/** The rule said as plainly as possible, to compare the quick one with. */
function referenceCanonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(referenceCanonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([key, member]) => [key, `${JSON.stringify(key)}:${referenceCanonicalJson(member)}`] as const,
  )
  members.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([, text]) => text).join(',')}}`
}

/** The value of a JSON text, read as the JavaScript expression it is: `JSON.parse` gets some keys wrong (src/parse-json.ts). */
function valueWritten(json: string): unknown {
  return runInThisContext(`(${json.replaceAll('"__proto__":', '["__proto__"]:')})`)
}

function shuffled(value: unknown, random: () => number): unknown {
  if (Array.isArray(value)) return value.map((element) => shuffled(element, random))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, member]) => ({ rank: random(), key, member: shuffled(member, random) }))
  return Object.fromEntries(entries.sort((a, b) => a.rank - b.rank).map(({ key, member }) => [key, member]))
}

function refusal(value: unknown, what?: string): OnefoldError {
  try {
    toCanonicalJson(value, what)
  } catch (error) {
    if (isOnefoldError(error, 'MESSAGE_INVALID')) return error
    throw error
  }
  throw new Error('it was not refused')
}

const text = fc.string({
  unit: fc.oneof(
    fc.integer({ min: 0, max: 0x7f }).map((code) => String.fromCharCode(code)),
    fc.constantFrom('"', '\\', '/', '\u0000', '\u2028', 'é', '😀'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 8,
})
const key = fc.oneof(
  text,
  fc.integer({ min: 0, max: 30 }).map(String),
  fc.constantFrom('__proto__', 'constructor', 'toString', 'ö', '€', '😀', 'דּ', 'a', 'b', 'c', ''),
)
const { json: anyJson } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.boolean(), fc.constant(null)),
    fc.array(tie('json'), { maxLength: 5 }),
    fc.array(fc.tuple(key, tie('json')), { maxLength: 8 }).map((entries) => Object.fromEntries(entries)),
  ),
}))

describe('canonical JSON carries', () => {
  test('any JSON value: parsing the text gives the value back', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(valueWritten(toCanonicalJson(value))).toEqual(valueWritten(JSON.stringify(value)))
      }),
      { numRuns: 1000 },
    )
  })

  test('any JSON value as the plain definition of RFC 8785 writes it', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(toCanonicalJson(value)).toBe(referenceCanonicalJson(value))
      }),
      { numRuns: 1000 },
    )
  })

  test('one text whatever order the properties were written in', () => {
    fc.assert(
      fc.property(anyJson, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (value, ranks) => {
        expect(toCanonicalJson(shuffled(value, () => ranks.next().value ?? 0))).toBe(toCanonicalJson(value))
      }),
      { numRuns: 500 },
    )
  })

  test('what it wrote, unchanged: the canonical text of a parsed canonical text is that text', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const text = toCanonicalJson(value)
        expect(toCanonicalJson(valueWritten(text))).toBe(text)
      }),
    )
  })

  test('integer-like keys in code unit order, not in the order JavaScript lists them', () => {
    expect(toCanonicalJson({ 9: 'nine', 10: 'ten', 1: 'one' })).toBe('{"1":"one","10":"ten","9":"nine"}')
  })

  test('objects of one shape and of shapes that begin alike, again and again', () => {
    for (let round = 0; round < 3; round++) {
      expect(toCanonicalJson({ b: 1, a: 2 })).toBe('{"a":2,"b":1}')
      expect(toCanonicalJson({ b: 1, a: 2, c: 3 })).toBe('{"a":2,"b":1,"c":3}')
      expect(toCanonicalJson({ b: 1 })).toBe('{"b":1}')
      expect(toCanonicalJson({ a: 1, b: undefined })).toBe('{"a":1}')
      expect(toCanonicalJson({ a: undefined, b: 1, c: undefined })).toBe('{"b":1}')
    }
  })

  test('more different keys than are remembered', () => {
    for (let i = 0; i < 25_000; i++) {
      expect(toCanonicalJson({ [`k${i}`]: 1, [`a${i}`]: 2 })).toBe(`{"a${i}":2,"k${i}":1}`)
    }
    const wide = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${(i * 7919) % 300}`, i]))
    expect(toCanonicalJson(wide)).toBe(referenceCanonicalJson(wide))
    const long = { [`b${'x'.repeat(1000)}`]: 1, [`a${'x'.repeat(1000)}`]: 2 }
    expect(toCanonicalJson(long)).toBe(referenceCanonicalJson(long))
  })

  test('what toJSON gives, asked once and with the key JSON.stringify would name', () => {
    const asked: string[] = []
    const value = {
      toJSON(name: string) {
        asked.push(name)
        return { z: 1, a: { toJSON: () => 'inner' } }
      },
    }
    expect(toCanonicalJson({ at: new Date(0), where: new URL('https://a.example/b'), list: [value] })).toBe(
      '{"at":"1970-01-01T00:00:00.000Z","list":[{"a":"inner","z":1}],"where":"https://a.example/b"}',
    )
    toCanonicalJson({ value })
    toCanonicalJson(value)
    expect(asked).toEqual(['0', 'value', ''])
    const decimal = { toJSON: () => ({ toJSON: () => 'never asked', a: 1 }) }
    expect(() => toCanonicalJson(decimal)).toThrow('data.toJSON is a function')
  })

  test('an undefined property, or a toJSON that gives undefined, as absent', () => {
    expect(toCanonicalJson({ a: undefined, b: { toJSON: () => undefined }, c: 1 })).toBe('{"c":1}')
    expect(toCanonicalJson({ a: undefined })).toBe('{}')
  })

  test('objects without prototype, of another realm, and with hidden marks', () => {
    const bare = Object.assign(Object.create(null), { b: 1, a: 2 })
    expect(toCanonicalJson(bare)).toBe('{"a":2,"b":1}')
    expect(toCanonicalJson(runInNewContext('({ b: [1], a: { c: 2 } })'))).toBe('{"a":{"c":2},"b":[1]}')
    const marked = Object.defineProperty({ a: 1 }, Symbol('mark'), { value: true, enumerable: false })
    expect(toCanonicalJson(marked)).toBe('{"a":1}')
  })

  test('a getter read once', () => {
    let reads = 0
    const value = {
      get count() {
        return ++reads
      },
    }
    expect(toCanonicalJson(value)).toBe('{"count":1}')
  })

  test('the same object in two places, which is not a cycle', () => {
    const address = { city: 'Graz' }
    expect(toCanonicalJson({ from: address, to: address })).toBe('{"from":{"city":"Graz"},"to":{"city":"Graz"}}')
  })

  test('200 levels', () => {
    let value: unknown = 1
    for (let level = 0; level < 200; level++) value = [value]
    expect(toCanonicalJson(value)).toBe('['.repeat(200) + 1 + ']'.repeat(200))
    expect(refusal([value]).message).toContain('is nested deeper than 200 levels')
  })
})

describe('the vectors of RFC 8785', () => {
  test('section 3.2.2: literals, numbers and strings', () => {
    const input = String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`
    expect(toCanonicalJson(JSON.parse(input))).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    )
  })

  test('section 3.2.3: keys in the order of their UTF-16 code units', () => {
    const input = String.raw`{
      "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
    }`
    expect(Object.values(JSON.parse(toCanonicalJson(JSON.parse(input))))).toEqual([
      // JavaScript lists the integer-like key first; the text itself has it second.
      'One',
      'Carriage Return',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ])
    expect(toCanonicalJson(JSON.parse(input))).toMatch(/^\{"\\r":"Carriage Return","1":"One"/)
  })

  test.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('appendix B: the double %s is %s', (bits, text) => {
    expect(toCanonicalJson(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text)
  })
})

describe('canonical JSON refuses', () => {
  class Money {
    readonly amount = 1
  }
  const sparse: unknown[] = [1]
  sparse[2] = 3

  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'data is undefined'],
    ['undefined in an array', { a: [1, undefined] }, 'data.a[1] is undefined'],
    ['a hole in an array', sparse, 'data[1] is undefined'],
    ['a toJSON of undefined in an array', [{ toJSON: () => undefined }], 'data[0] is undefined'],
    ['a toJSON of undefined at the top', { toJSON: () => undefined }, 'data is undefined'],
    ['a function', () => 1, 'data is a function'],
    ['a function as a property', { items: [{ price: () => 1 }] }, 'data.items[0].price is a function'],
    ['a symbol', { a: Symbol('x') }, 'data.a is a symbol'],
    ['a symbol as a key', { a: { [Symbol('x')]: 1 } }, 'data.a has a symbol as a key (Symbol(x))'],
    ['a bigint', { n: 1n }, 'data.n is a bigint; hand it over as a string'],
    ['NaN', { items: [0, 1, 2, { price: Number.NaN }] }, 'data.items[3].price is NaN'],
    ['infinity', [Number.NEGATIVE_INFINITY], 'data[0] is -Infinity'],
    ['a NaN given by toJSON', { a: { toJSON: () => Number.NaN } }, 'data.a is NaN'],
    ['an invalid date', { at: new Date('soon') }, 'data.at is an invalid date'],
    ['a Map', { a: new Map() }, 'data.a is a Map'],
    ['a Set', { a: new Set() }, 'data.a is a Set'],
    ['a promise', { a: Promise.resolve(1) }, 'data.a is a promise; await it first'],
    ['an instance of a class', { a: new Money() }, 'data.a is an instance of Money, which has no toJSON'],
    ['an instance given by toJSON', { toJSON: () => new Money() }, 'data is an instance of Money'],
    ['an error', new TypeError('x'), 'data is an instance of TypeError'],
    ['a boxed number', { a: new Number(1) }, 'data.a is an instance of Number'],
    ['a boxed string', { a: new String('x') }, 'data.a is an instance of String'],
    ['a Buffer', { a: Buffer.from('x') }, 'data.a is bytes (Buffer)'],
    ['a typed array', { a: new Uint8Array(1) }, 'data.a is bytes (Uint8Array)'],
    ['an ArrayBuffer', { a: new ArrayBuffer(1) }, 'data.a is bytes (ArrayBuffer)'],
    ['a regular expression', /x/, 'data is an instance of RegExp'],
    ['an object of an object', Object.create({ a: 1 }), 'data is an instance of Object'],
    ['half of a surrogate pair', { a: 'x\ud83d' }, 'data.a has half of a surrogate pair'],
    ['half of a surrogate pair in a key', { a: { '\ude00': 1 } }, 'data.a has a key with half of a surrogate pair'],
    ['an odd key on the path', { 'a b': { 'x"': 1n } }, 'data["a b"]["x\\""] is a bigint'],
  ])('%s', (_what, value, message) => {
    expect(refusal(value).message).toContain(message)
    expect(refusal(value)).toMatchObject({ outcome: 'not-applied', retry: 'never' })
  })

  test('a cycle, naming where it closes and what it closes to', () => {
    const order: { id: number; lines?: unknown } = { id: 1 }
    order.lines = [{ text: 'a' }, { text: 'b', order }]
    expect(refusal({ order }).message).toContain('data.order.lines[1].order is data.order again, a cycle')
    const self: unknown[] = []
    self.push(self)
    expect(refusal(self).message).toContain('data[0] is data again, a cycle')
    const endless = { toJSON: (): unknown => ({ next: { toJSON: endless.toJSON } }) }
    expect(refusal(endless).message).toContain('is nested deeper than 200 levels')
  })

  test('what throws when it is read, with the error as the cause', () => {
    const cause = new RangeError('no such row')
    const error = refusal({
      a: [
        {
          get b() {
            throw cause
          },
        },
      ],
    })
    expect(error.message).toContain('data.a[0].b could not be read: no such row')
    expect(error.cause).toBe(cause)
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(refusal({ a: proxy }).message).toContain('data.a could not be read')
  })

  test('under the name it was given, and names the field in the details', () => {
    const error = refusal({ a: [Number.NaN] }, 'header')
    expect(error.message).toBe('header.a[0] is NaN. JSON cannot carry it.')
    expect(error.details).toEqual({ field: 'header.a[0]' })
  })

  test('a very long path without writing it all', () => {
    expect(refusal({ ['x'.repeat(100_000)]: 1n }).message.length).toBeLessThan(500)
  })
})

test('a body digest is the first half of the SHA-256 of the text', () => {
  const json = toCanonicalJson({ b: 'é', a: 1 })
  expect(Buffer.from(bodyDigest(json))).toEqual(createHash('sha256').update(json, 'utf8').digest().subarray(0, 16))
})
