import { describe, expect, test } from 'vitest'
import type { CheckOptions, History } from '../../../src/testing/index.ts'
import { causalOrder, keyGap, keyOrder, totalOrder } from '../../../src/testing/index.ts'
import { attention, consumer, effect, inGroup, nameOf, person, publish } from './operations.ts'

const abc = [publish('a'), publish('b'), publish('c')]

describe('order of a key', () => {
  test('finds what was applied after a later one, and names all four operations', () => {
    expect(keyOrder([...abc, effect('b'), effect('a'), effect('c')])).toEqual([
      {
        checker: 'key-order',
        what: 'Group ledger applied a of topic orders after b, which was published after it under the same key k.',
        evidence: [0, 1, 3, 4],
        about: inGroup('a'),
      },
    ])
    expect(keyOrder([...abc, effect('c'), effect('b'), effect('a')])).toHaveLength(2)
    expect(keyOrder([...abc, effect('a'), effect('b'), effect('c')])).toEqual([])
  })

  test('keeps nothing between keys, producers, or messages without either', () => {
    expect(keyOrder([publish('a'), publish('b', { key: 'other' }), effect('b'), effect('a')])).toEqual([])
    expect(keyOrder([publish('a'), publish('b', { producer: 'q' }), effect('b'), effect('a')])).toEqual([])
    const { producer: _, ...nobodys } = publish('a')
    expect(keyOrder([nobodys, publish('b'), effect('b'), effect('a')])).toEqual([])
    const { key: __, ...keyless } = publish('a')
    expect(keyOrder([keyless, { ...keyless, identity: 'b' }, effect('b'), effect('a')])).toEqual([])
    expect(keyOrder([...abc, effect('b'), effect('a')], { promises: { order: 'none' } })).toEqual([])
  })

  test("believes the producer's own numbers rather than the place in the history", () => {
    const written = [publish('b', { order: 2 }), publish('a', { order: 1 })]
    expect(keyOrder([...written, effect('a'), effect('b')])).toEqual([])
    expect(keyOrder([...written, effect('b'), effect('a')])).toHaveLength(1)
  })

  test('two that were published at the same place, such as in one call for many, have no order', () => {
    const together = [publish('a', { order: 1 }), publish('b', { order: 1 })]
    expect(keyOrder([...together, effect('b'), effect('a')])).toEqual([])
    expect(keyGap([...together, effect('b')])).toEqual([])
    expect(totalOrder([...together, effect('b'), effect('a')], { promises: { order: 'total' } })).toEqual([])
  })

  test('a publish that was unknown and repeated may stand at either place, and between', () => {
    const repeated = [publish('a', { outcome: 'unknown' }), publish('b'), publish('a'), publish('c')]
    expect(keyOrder([...repeated, effect('a'), effect('b'), effect('c')])).toEqual([])
    expect(keyOrder([...repeated, effect('b'), effect('a'), effect('c')])).toEqual([])
    expect(keyOrder([...repeated, effect('b'), effect('c'), effect('a')])).toHaveLength(1)
    // Never answered: it may still arrive at any time.
    expect(keyOrder([publish('a', { outcome: 'unknown' }), publish('b'), effect('b'), effect('a')])).toEqual([])
    // Refused the first time: its place is the second.
    expect(
      keyOrder([publish('a', { outcome: 'did-not-happen' }), publish('b'), publish('a'), effect('a'), effect('b')]),
    ).toHaveLength(1)
  })

  test("what was applied without a publish is a phantom, and in nobody's order", () => {
    const refused = [publish('a', { outcome: 'did-not-happen' }), ...abc.slice(1), effect('a'), effect('b'), effect('c')]
    expect(keyOrder(refused)).toEqual([])
    expect(keyOrder([...abc, effect('x'), effect('a'), effect('b')])).toEqual([])
  })

  test('repeats and unknown effects are no disorder', () => {
    expect(keyOrder([...abc, effect('a'), effect('b'), effect('a')])).toEqual([])
    expect(keyOrder([...abc, effect('b', { outcome: 'unknown' }), effect('a'), effect('b')])).toEqual([])
  })

  test("with 'skip' what came to attention may be overtaken", () => {
    const history = [...abc, attention('a'), effect('b'), person('redrive', 'a'), effect('a')]
    expect(keyOrder(history)).toHaveLength(1)
    expect(keyOrder(history, { promises: { onExhausted: { ledger: 'skip' } } })).toEqual([])
    expect(keyOrder(history, { promises: { onExhausted: { board: 'skip' } } })).toHaveLength(1)
  })
})

describe('gaps of a key', () => {
  test('finds what was passed over, without waiting for the end', () => {
    expect(keyGap([...abc, effect('a'), effect('c')])).toMatchObject([{ evidence: [1, 2, 4], about: inGroup('b') }])
    expect(keyGap([...abc, effect('a'), effect('b')])).toEqual([])
    expect(keyGap([publish('a', { key: 'other' }), publish('b'), effect('b')])).toEqual([])
    expect(keyGap([publish('a', { key: 'other' }), publish('b'), effect('b')], { promises: { order: 'total' } })).toHaveLength(1)
  })

  test('what may not have been published, and what may have been applied, is no gap', () => {
    expect(keyGap([publish('a', { outcome: 'unknown' }), publish('b'), effect('b')])).toEqual([])
    expect(keyGap([publish('a', { outcome: 'did-not-happen' }), publish('b'), effect('b')])).toEqual([])
    expect(keyGap([publish('a'), publish('b'), effect('a', { outcome: 'unknown' }), effect('b')])).toEqual([])
    expect(keyGap([publish('a'), publish('b'), effect('a'), effect('b', { outcome: 'unknown' })])).toEqual([])
    expect(keyGap([publish('a'), publish('b'), effect('b', { outcome: 'unknown' })])).toEqual([])
    expect(keyGap([publish('a', { outcome: 'unknown' }), publish('b'), publish('a'), effect('b')])).toEqual([])
  })

  test('a person may close the gap; attention alone only where it does not hold', () => {
    const history = [...abc, attention('a'), effect('b')]
    expect(keyGap(history)).toHaveLength(1)
    expect(keyGap(history, { promises: { onExhausted: 'skip' } })).toEqual([])
    expect(keyGap([...abc, attention('a'), person('discard', 'a'), effect('b')])).toEqual([])
    expect(keyGap([...abc, person('erase', 'a'), effect('b')])).toEqual([])
  })

  test('a group that starts with the latest has no gap before it', () => {
    expect(keyGap([publish('a'), { ...consumer, from: 'latest' }, publish('b'), effect('b')])).toEqual([])
  })
})

describe('total order', () => {
  const total: CheckOptions = { promises: { order: 'total' } }
  const judge = (history: History, options = total) => totalOrder(history, options)
  const free = ['a', 'b', 'c'].map((identity) => publish(identity, { producer: identity }))
  const applied = (identities: string, more: Parameters<typeof effect>[1] = {}) =>
    [...identities].map((each) => effect(each, more))

  test('finds where two groups, or two replicas of one, part', () => {
    expect(judge([...free, ...applied('abc'), ...applied('acb', { group: 'board' })])).toMatchObject([{ evidence: [4, 7] }])
    expect(judge([...free, ...applied('abc', { replica: '1' }), ...applied('bac', { replica: '2' })])).toMatchObject([
      { evidence: [3, 6] },
    ])
    expect(judge([...free, ...applied('abc'), ...applied('ac', { group: 'board' })])).toMatchObject([{ evidence: [4, 7] }])
  })

  test('a prefix is no violation, nor is any order where total order is not promised', () => {
    expect(judge([...free, ...applied('ab', { group: 'board' }), ...applied('abc')])).toEqual([])
    expect(judge([...free, ...applied('abc'), ...applied('cba', { group: 'board' })], {})).toEqual([])
  })

  test('an unknown effect may be missing in one, and may be there', () => {
    const perhaps = [effect('a'), effect('b', { outcome: 'unknown' }), effect('c')]
    expect(judge([...free, ...perhaps, ...applied('abc', { group: 'board' })])).toEqual([])
    expect(judge([...free, ...perhaps, ...applied('ac', { group: 'board' })])).toEqual([])
    expect(judge([...free, ...perhaps, ...applied('acb', { group: 'board' })])).toHaveLength(0)
    expect(judge([...free, ...perhaps, ...applied('cab', { group: 'board' })])).toHaveLength(1)
    // Unknown the first time and known the second: the first did not happen.
    const again = [effect('b', { outcome: 'unknown' }), effect('a'), effect('b')]
    expect(judge([...free, ...again, ...applied('abc', { group: 'board' })])).toEqual([])
    expect(judge([...free, ...again, ...applied('bac', { group: 'board' })])).toHaveLength(1)
  })

  test('what a person closed in one group may be missing there', () => {
    const closed = [...free, ...applied('abc'), person('discard', 'b', { group: 'board' }), ...applied('ac', { group: 'board' })]
    expect(judge(closed)).toEqual([])
  })

  test('a group may start late, and one that is at most once may miss some', () => {
    const late = { op: 'consumer', topic: 'orders', group: 'board', from: 'latest' } as const
    const history = [
      publish('a', { producer: 'a' }),
      late,
      ...free.slice(1),
      ...applied('abc'),
      ...applied('bc', { group: 'board' }),
    ]
    expect(judge(history)).toEqual([])
    const missing = [...free, ...applied('abc'), ...applied('ac', { group: 'board' })]
    expect(judge(missing, { ...total, semantics: { board: 'at-most-once' } })).toEqual([])
    expect(
      judge([...free, ...applied('abc'), ...applied('ca', { group: 'board' })], {
        ...total,
        semantics: { board: 'at-most-once' },
      }),
    ).toHaveLength(1)
  })

  test('places rise, epoch first', () => {
    const at = (...places: [number, number][]) => places.map((place, index) => effect('abc'[index] ?? '', { place }))
    expect(judge([...free, ...at([1, 7], [1, 9], [2, 1])])).toEqual([])
    expect(judge([...free, ...at([1, 7], [2, 1], [1, 9])])).toMatchObject([{ evidence: [4, 5] }])
    expect(judge([...free, ...at([1, 7], [1, 7])])).toHaveLength(1)
    expect(judge([...free, effect('a', { place: [1, 7] }), effect('b'), effect('c', { place: [1, 6] })])).toMatchObject([
      { evidence: [3, 5] },
    ])
    const late = [attention('b'), effect('a', { place: [1, 7] }), effect('b', { place: [1, 6] })]
    expect(judge([...free, ...late], { promises: { order: 'total', onExhausted: 'skip' } })).toEqual([])
    expect(judge([...free, ...late])).toHaveLength(1)
  })

  test("each producer's messages keep their order across keys", () => {
    const keys = [publish('a', { key: '1' }), publish('b', { key: '2' }), effect('b'), effect('a')]
    expect(judge(keys)).toMatchObject([{ evidence: [0, 1, 2, 3] }])
    expect(judge([publish('a', { outcome: 'unknown' }), publish('b'), publish('a'), effect('b'), effect('a')])).toEqual([])
  })
})

describe('causal order', () => {
  const causal: CheckOptions = { promises: { order: 'causal' } }
  const judge = (history: History) => causalOrder(history, causal)
  const by = (identity: string, producer: string, ...after: string[]) =>
    publish(identity, { producer, key: identity, ...(after.length === 0 ? {} : { after: after.map(nameOf) }) })

  test('finds an answer that was applied before its question', () => {
    const history = [by('question', 'ann'), by('answer', 'bob', 'question'), effect('answer'), effect('question')]
    expect(judge(history)).toMatchObject([{ evidence: [0, 1, 2, 3], about: inGroup('answer') }])
    expect(causalOrder(history, {})).toEqual([])
    expect(judge([...history.slice(0, 2), effect('question'), effect('answer')])).toEqual([])
    expect(judge([...history.slice(0, 3)])).toMatchObject([{ evidence: [0, 1, 2] }])
  })

  test('finds it through others: what a producer had said before, and what that had seen', () => {
    const chain = [by('a', 'ann'), by('b', 'bob', 'a'), by('c', 'bob'), by('d', 'cid', 'c')]
    expect(judge([...chain, effect('d')])[0]).toMatchObject({ about: inGroup('d') })
    expect(judge([...chain, effect('b'), effect('c'), effect('d')])).not.toEqual([])
    expect(judge([...chain, effect('a'), effect('b'), effect('c'), effect('d')])).toEqual([])
  })

  test('finds it through a message that the group does not consume', () => {
    const elsewhere = { ...by('b', 'bob', 'a'), topic: 'private' }
    const answer = publish('c', { producer: 'cid', after: [{ topic: 'private', identity: 'b' }] })
    expect(judge([by('a', 'ann'), elsewhere, answer, effect('c'), effect('a')])).toHaveLength(1)
    expect(judge([by('a', 'ann'), elsewhere, answer, effect('a'), effect('c')])).toEqual([])
  })

  test('links a message to what caused it in another topic', () => {
    const cause = { topic: 'orders', group: 'ledger', identity: 'a' }
    const caused = publish('s', { topic: 'summaries', cause, producer: 'ledger' })
    const board = { group: 'board' }
    const history = [by('a', 'ann'), caused]
    const summary = effect('s', { topic: 'summaries', ...board })
    expect(judge([...history, summary, effect('a', board)])).toHaveLength(1)
    expect(judge([...history, effect('a', board), summary])).toEqual([])
  })

  test('messages that know nothing of each other may come in any order', () => {
    expect(judge([by('a', 'ann'), by('b', 'bob'), by('c', 'cid', 'a'), effect('b'), effect('a'), effect('c')])).toEqual([])
    expect(judge([by('a', 'ann'), by('b', 'bob'), by('c', 'cid', 'a'), effect('a'), effect('c'), effect('b')])).toEqual([])
  })

  test('a cause that may not have been published, or may have been applied, is waited for by nobody', () => {
    const answer = by('answer', 'bob', 'question')
    expect(judge([{ ...by('question', 'ann'), outcome: 'unknown' }, answer, effect('answer')])).toEqual([])
    expect(judge([by('question', 'ann'), answer, effect('question', { outcome: 'unknown' }), effect('answer')])).toEqual([])
    expect(judge([by('question', 'ann'), answer, effect('answer', { outcome: 'unknown' }), effect('question')])).toEqual([])
    expect(
      judge([by('question', 'ann'), { ...answer, outcome: 'did-not-happen' }, by('answer', 'bob'), effect('answer')]),
    ).toEqual([])
    expect(judge([by('question', 'ann'), answer, person('discard', 'question'), effect('answer')])).toEqual([])
    expect(judge([answer, effect('answer')])).toEqual([])
  })

  test('a publish that was unknown and repeated may stand at either place', () => {
    const repeated = [{ ...by('a', 'ann'), outcome: 'unknown' as const }, by('b', 'ann'), by('a', 'ann'), by('c', 'ann')]
    expect(judge([...repeated, effect('b'), effect('a'), effect('c')])).toEqual([])
    expect(judge([...repeated, effect('a'), effect('b'), effect('c')])).toEqual([])
    expect(judge([...repeated, effect('b'), effect('c'), effect('a')])).toHaveLength(1)
    expect(judge([...repeated, effect('a'), effect('c'), effect('b')])).toHaveLength(1)
  })

  test('of two repeats that cross, none is before the other', () => {
    const first = [
      { ...by('a', 'ann'), outcome: 'unknown' as const },
      { ...by('b', 'ann'), outcome: 'unknown' as const },
    ]
    const crossed = [...first, by('b', 'ann'), by('a', 'ann'), by('c', 'ann')]
    expect(judge([...crossed, effect('b'), effect('a'), effect('c')])).toEqual([])
    expect(judge([...crossed, effect('a'), effect('b'), effect('c')])).toEqual([])
    expect(judge([...crossed, effect('a'), effect('c'), effect('b')])).toHaveLength(1)
    expect(judge([...crossed, effect('b'), effect('c'), effect('a')])).toHaveLength(1)
  })

  test('a circle of causes ends', () => {
    expect(judge([by('a', 'ann', 'b'), by('b', 'bob', 'a'), effect('a'), effect('b')])).toHaveLength(1)
  })

  test('each replica has seen only what it has applied itself', () => {
    const history = [by('a', 'ann'), by('b', 'bob', 'a'), effect('a', { replica: '1' }), effect('b', { replica: '1' })]
    expect(judge([...history, effect('b', { replica: '2' }), effect('a', { replica: '2' })])).toMatchObject([
      { evidence: [0, 1, 4, 5] },
    ])
  })
})
