import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { groupByLane, laneOf } from '../../src/consume/lanes.ts'

describe('the lane of a message', () => {
  test('is its key when messages are in order by key, and none when it has no key', () => {
    expect(laneOf({ key: 'acc-1' }, 'key')).toBe('acc-1')
    expect(laneOf({}, 'key')).toBe(undefined)
  })

  test('is one for all in total order, key or not', () => {
    expect(laneOf({ key: 'acc-1' }, 'total')).toBe('')
    expect(laneOf({}, 'total')).toBe('')
  })

  test('is none when no order is kept, key or not', () => {
    expect(laneOf({ key: 'acc-1' }, 'none')).toBe(undefined)
  })
})

describe('grouping by lane', () => {
  const items = fc
    .array(fc.option(fc.constantFrom('', 'a', 'b', 'c', '__proto__'), { nil: undefined }))
    .map((lanes) => lanes.map((lane, at) => ({ lane, at })))

  test('keeps the order of arrival within a lane and opens groups in the order of arrival', () => {
    expect(groupByLane([{ lane: 'a', n: 1 }, { lane: 'b', n: 2 }, { n: 3 }, { lane: 'a', n: 4 }, { n: 5 }])).toEqual([
      [
        { lane: 'a', n: 1 },
        { lane: 'a', n: 4 },
      ],
      [{ lane: 'b', n: 2 }],
      [{ n: 3 }],
      [{ n: 5 }],
    ])
  })

  test('loses nothing, never parts a lane, and never lets an item without lane wait for another', () => {
    fc.assert(
      fc.property(items, (all) => {
        const groups = groupByLane(all)
        expect(groups.flat().sort((a, b) => a.at - b.at)).toEqual(all)
        for (const group of groups) {
          expect(new Set(group.map((item) => item.lane)).size).toBe(1)
          expect(group).toEqual(group.toSorted((a, b) => a.at - b.at))
          if (group[0]?.lane === undefined) expect(group.length).toBe(1)
        }
        const lanes = groups.map((group) => group[0]?.lane).filter((lane) => lane !== undefined)
        expect(new Set(lanes).size).toBe(lanes.length)
        const firsts = groups.map((group) => group[0]?.at ?? -1)
        expect(firsts).toEqual(firsts.toSorted((a, b) => a - b))
      }),
    )
  })
})
