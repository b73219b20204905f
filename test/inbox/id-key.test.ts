import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { idKey } from '../../src/inbox/id-key.ts'

const hex = (id: string) => Buffer.from(idKey(id)).toString('hex')
const compare = (a: string, b: string) => Buffer.compare(idKey(a), idKey(b))

/** A UUID with one character that does not belong there. */
const nearlyUuid = fc
  .tuple(fc.uuid(), fc.nat(35), fc.constantFrom('-', 'g', 'A', ':', '`', '/', 'é', '日'))
  .map(([uuid, at, other]) => uuid.slice(0, at) + other + uuid.slice(at + 1))
  .filter((text) => !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text))

/** Ids as `checkText` lets them through. */
const id = fc.oneof(
  fc.uuid(),
  fc.uuid().map((uuid) => uuid.toUpperCase()),
  fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  nearlyUuid,
)

describe('the key of an id', () => {
  test('is stored data and never changes', () => {
    expect(hex('0190b7a2-7c1e-7f00-8000-00000000abcd')).toBe('000190b7a27c1e7f00800000000000abcd')
    expect(hex('evt_1')).toBe('6576745f31')
    expect(hex('é')).toBe('c3a9')
    expect(hex('x'.repeat(32))).toBe('78'.repeat(32))
    expect(hex('x'.repeat(33))).toBe('0111ba55a3a7c1ee0f8eb8867dc40a62c6')
    expect(hex('é'.repeat(16))).toBe('c3a9'.repeat(16))
    expect(hex('é'.repeat(17)).slice(0, 2)).toBe('01')
    expect(hex('0190B7A2-7C1E-7F00-8000-00000000ABCD').slice(0, 2)).toBe('01')
  })

  test('is its own: computing the next one does not change it', () => {
    const keys = ['é', 'ö', 'evt_1', 'evt_2'].map(idKey)
    expect(keys.map((key) => Buffer.from(key).toString('utf8'))).toEqual(['é', 'ö', 'evt_1', 'evt_2'])
  })

  test('of a long id is 01 and the first half of its SHA-256', () => {
    const long = `https://example.com/events/${'7'.repeat(40)}/é`
    expect(hex(long)).toBe(`01${createHash('sha256').update(long, 'utf8').digest('hex').slice(0, 32)}`)
  })

  test('of what is not exactly a lower-case UUID is not a UUID key', () => {
    fc.assert(
      fc.property(nearlyUuid, (text) => {
        expect(idKey(text)[0]).toBe(1)
      }),
      { numRuns: 2000 },
    )
  })

  test('differs for different ids, and has at most 32 bytes', () => {
    fc.assert(
      fc.property(id, id, (a, b) => {
        expect(hex(a) === hex(b)).toBe(a === b)
        expect(idKey(a).length).toBeLessThanOrEqual(32)
      }),
      { numRuns: 5000 },
    )
  })

  test('gives the id back when it is a UUID or short', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        expect(hex(uuid)).toBe(`00${uuid.replaceAll('-', '')}`)
      }),
    )
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), (text) => {
        if (Buffer.byteLength(text) <= 32) expect(Buffer.from(idKey(text)).toString('utf8')).toBe(text)
      }),
    )
  })

  test('keeps the order of UUIDs and of numbered ids', () => {
    fc.assert(
      fc.property(fc.uuid({ version: 7 }), fc.uuid({ version: 7 }), (a, b) => {
        expect(Math.sign(compare(a, b))).toBe(a < b ? -1 : a > b ? 1 : 0)
      }),
    )
    const numbered = Array.from({ length: 1000 }, (_, i) => `order-${String(i).padStart(8, '0')}`)
    for (let i = 1; i < numbered.length; i++) expect(compare(numbered[i - 1] as string, numbered[i] as string)).toBe(-1)
  })
})
