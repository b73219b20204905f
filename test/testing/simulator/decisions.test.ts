import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Decisions, deviationsOf, vectorOf } from '../../../src/testing/simulator/decisions.ts'

const options = ['nothing goes wrong', 'killed', 'frozen']

test('a vector says what the deviations were, in the order of their places, and is read back as what it was', () => {
  expect(
    vectorOf(
      new Map([
        [31, 1],
        [12, 2],
      ]),
    ),
  ).toBe('12:2,31:1')
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.nat(999_999), fc.integer({ min: 1, max: 999 })), { selector: ([place]) => place }),
      (pairs) => {
        const deviations = new Map(pairs)
        expect(new Map(deviationsOf(vectorOf(deviations)))).toEqual(deviations)
        expect(vectorOf(deviationsOf(vectorOf(deviations)))).toBe(vectorOf(deviations))
      },
    ),
  )
})

test('the empty vector is the schedule in which nothing goes wrong; spaces do not matter', () => {
  expect(deviationsOf('')).toEqual(new Map())
  expect(vectorOf(new Map())).toBe('')
  expect(deviationsOf(' 3:1 , 7:2 ')).toEqual(
    new Map([
      [3, 1],
      [7, 2],
    ]),
  )
})

test.for(['nonsense', '1', '1:', ':1', '1:2;3:4', '-1:2', '1.5:2', '1:2:3', '1:1000', '1000000:1'])(
  'a vector that no violation printed is refused: %s',
  (vector) => {
    expect(() => deviationsOf(vector)).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('replay') }),
    )
  },
)

test('decisions follow a vector, and keep a trail of everything that was asked', () => {
  const decisions = Decisions.following(new Map([[1, 2]]))
  expect(decisions.choose('first', options)).toBe('nothing goes wrong')
  expect(decisions.choose('second', options)).toBe('frozen')
  expect(decisions.trail.map(({ at, chosen }) => [at, chosen])).toEqual([
    ['first', 0],
    ['second', 2],
  ])
  expect(vectorOf(decisions.deviations())).toBe('1:2')
})

test('an option that is none any more is none: the trail says what was really done', () => {
  const decisions = Decisions.following(new Map([[0, 7]]))
  expect(decisions.choose('first', options)).toBe('nothing goes wrong')
  expect(vectorOf(decisions.deviations())).toBe('')
})

test('closed decisions let nothing go wrong, and leave no trail', () => {
  const decisions = new Decisions(() => 1)
  expect(decisions.choose('first', options)).toBe('killed')
  decisions.close()
  expect(decisions.choose('second', options)).toBe('nothing goes wrong')
  expect(decisions.trail.length).toBe(1)
})
