import { describe, expect, test } from 'vitest'
import {
  attention as attentionChecker,
  conservation,
  convergence,
  determinism,
  fenced,
  oneTransaction,
} from '../../../src/testing/index.ts'
import { attention, effect, end, fact, inbox, inGroup, nameOf, person, publish, snapshot } from './operations.ts'

describe('convergence', () => {
  test('finds two that have seen the same and differ', () => {
    const one = snapshot({ a: 1, b: 2 }, { replica: '1', facts: ['x', 'y'] })
    expect(convergence([one, snapshot({ a: 1, b: 3 }, { replica: '2', facts: ['y', 'x', 'x'] })])).toEqual([
      { checker: 'convergence', what: 'Replicas 1 and 2 of balances have seen the same 3 facts and differ.', evidence: [0, 1] },
    ])
    expect(convergence([one, snapshot({ b: 2, a: 1 }, { replica: '2', facts: ['y', 'x'] })])).toEqual([])
  })

  test('compares only what is of one thing, has seen the same, and says so', () => {
    const one = snapshot(1, { facts: ['x'] })
    expect(convergence([one, snapshot(2, { facts: ['x', 'y'] })])).toEqual([])
    expect(convergence([one, snapshot(2, { facts: ['x'], of: 'stock' })])).toEqual([])
    expect(convergence([snapshot(1), snapshot(2)])).toEqual([])
  })
})

describe('conservation', () => {
  const promises = {
    conservation: (state: unknown) => {
      const sum = (state as number[]).reduce((total, each) => total + each, 0)
      return sum === 0 ? undefined : `the sum is ${sum}`
    },
  }
  test('finds every committed snapshot in which it does not hold', () => {
    expect(conservation([snapshot([1, -1]), snapshot([2, -1]), snapshot([])], { promises })).toEqual([
      { checker: 'conservation', what: 'A committed snapshot of balances is wrong: the sum is 1.', evidence: [1] },
    ])
    expect(conservation([snapshot([2, -1])])).toEqual([])
  })
})

describe('epochs', () => {
  test('finds a commit under an epoch below one that has committed', () => {
    const history = [effect('a', { epoch: 1 }), effect('b', { epoch: 3 }), effect('c', { epoch: 2, worker: 'w1' })]
    expect(fenced(history)).toMatchObject([
      {
        evidence: [1, 2],
        what: 'Worker w1 committed c of topic orders under epoch 2 after epoch 3 had committed in the same partition.',
      },
    ])
  })

  test('each partition has epochs of its own, and what may not have committed proves nothing', () => {
    expect(fenced([effect('a', { epoch: 2, partition: '0' }), effect('b', { epoch: 1, partition: '1' })])).toEqual([])
    expect(fenced([effect('a', { epoch: 2, outcome: 'unknown' }), effect('b', { epoch: 1 })])).toEqual([])
    expect(fenced([effect('a', { epoch: 2 }), effect('b', { epoch: 1, outcome: 'unknown' })])).toEqual([])
    expect(fenced([effect('a', { epoch: 2 }), effect('b', { epoch: 1, outcome: 'did-not-happen' })])).toEqual([])
    expect(fenced([effect('a', { epoch: 2 }), effect('b'), effect('c', { epoch: 2 })])).toEqual([])
  })
})

describe('one transaction', () => {
  test('finds an effect that the inbox does not know, and a mark without an effect', () => {
    const known = [effect('z'), inbox('z')]
    expect(oneTransaction([...known, effect('a')])).toMatchObject([{ evidence: [2], about: inGroup('a') }])
    expect(oneTransaction([...known, inbox('a')])).toMatchObject([{ evidence: [2], about: inGroup('a') }])
    expect(oneTransaction([...known, effect('a', { outcome: 'did-not-happen' }), inbox('a')])).toHaveLength(1)
  })

  test('an unknown effect may be there or not; a message that was put aside counts as applied', () => {
    const known = [effect('z'), inbox('z')]
    expect(oneTransaction([...known, effect('a', { outcome: 'unknown' }), inbox('a')])).toEqual([])
    expect(oneTransaction([...known, effect('a', { outcome: 'unknown' })])).toEqual([])
    expect(oneTransaction([...known, person('put-aside', 'a'), inbox('a')])).toEqual([])
    expect(oneTransaction([effect('a')]), 'no inbox is written down').toEqual([])
  })

  test('finds effect and mark in two transactions', () => {
    expect(oneTransaction([effect('a', { transaction: '1' }), inbox('a', { transaction: '2' })])).toMatchObject([
      { evidence: [0, 1] },
    ])
    expect(oneTransaction([effect('a', { transaction: '1' }), inbox('a', { transaction: '1' })])).toEqual([])
    expect(oneTransaction([effect('a'), inbox('a', { transaction: '1' })])).toEqual([])
  })

  const summary = (identity: string, more: Parameters<typeof publish>[1] = {}) =>
    publish(identity, { topic: 'summaries', cause: inGroup('a'), ...more })
  const emits = (...identities: string[]) => ({ emits: identities.map((identity) => ({ topic: 'summaries', identity })) })

  test('finds what an effect published and never left, and what left and it did not publish', () => {
    expect(oneTransaction([effect('a', emits('s', 't')), summary('s')])).toMatchObject([{ evidence: [0] }])
    expect(oneTransaction([effect('a', emits('s')), summary('s'), summary('t')])).toMatchObject([{ evidence: [0, 2] }])
    expect(oneTransaction([effect('a', emits('s', 't')), summary('t'), summary('s')])).toEqual([])
    expect(oneTransaction([effect('a', emits('s')), summary('s', { outcome: 'unknown' })])).toEqual([])
    expect(oneTransaction([effect('a', emits('s')), summary('s', { outcome: 'did-not-happen' })])).toHaveLength(1)
    expect(oneTransaction([effect('a', emits('s')), summary('s'), summary('s', { receipt: 'duplicate' })])).toEqual([])
    expect(oneTransaction([effect('a', emits('s')), summary('s'), summary('t', { outcome: 'unknown' })])).toEqual([])
    expect(oneTransaction([effect('a', emits('s'))]), 'no publish of that topic is written down').toEqual([])
  })

  test('counts those whose id was minted', () => {
    const minted = { emits: [{ topic: 'summaries' }, { topic: 'summaries' }] }
    expect(oneTransaction([effect('a', minted), summary('1'), summary('2')])).toEqual([])
    expect(oneTransaction([effect('a', minted), summary('1')])).toMatchObject([{ evidence: [0] }])
    expect(oneTransaction([effect('a', minted), summary('1'), summary('2'), summary('3')])).toMatchObject([{ evidence: [0, 3] }])
  })

  test('finds a message of an effect that never committed', () => {
    const rolledBack = [effect('z'), effect('a', { outcome: 'did-not-happen' }), summary('s')]
    expect(oneTransaction(rolledBack)).toMatchObject([{ evidence: [1, 2] }])
    expect(oneTransaction([effect('z'), summary('s')])).toMatchObject([{ evidence: [1] }])
    expect(oneTransaction([effect('z'), summary('s')], { semantics: { ledger: 'at-least-once' } })).toEqual([])
    expect(oneTransaction([effect('z'), effect('a', { outcome: 'unknown' }), summary('s')])).toEqual([])
    expect(
      oneTransaction([effect('z'), effect('a', { outcome: 'did-not-happen' }), summary('s', { outcome: 'unknown' })]),
    ).toEqual([])
    expect(oneTransaction([summary('s')]), 'no effect of the group is written down').toEqual([])
  })

  test('finds a message in another transaction than its cause', () => {
    const cause = effect('a', { ...emits('s'), transaction: '1' })
    expect(oneTransaction([cause, summary('s', { transaction: '2' })])).toMatchObject([{ evidence: [0, 1] }])
    expect(oneTransaction([cause, summary('s', { transaction: '1' })])).toEqual([])
  })

  test("finds a producer's own row without its publish, and the other way round", () => {
    const placed = publish('a', { fact: 'row a' })
    const others = [publish('z', { fact: 'row z' }), fact('row z')]
    expect(oneTransaction([...others, placed])).toMatchObject([{ evidence: [2], about: nameOf('a') }])
    expect(oneTransaction([...others, { ...placed, outcome: 'did-not-happen' }, fact('row a')])).toMatchObject([
      { evidence: [2, 3] },
    ])
    expect(oneTransaction([...others, { ...placed, outcome: 'unknown' }, effect('a')])).toHaveLength(1)
    expect(oneTransaction([...others, { ...placed, transaction: '1' }, fact('row a', { transaction: '2' })])).toHaveLength(1)
  })

  test('a publish of unknown outcome goes with its row, whichever way it went', () => {
    const placed = publish('a', { fact: 'row a', outcome: 'unknown' })
    const others = [publish('z', { fact: 'row z' }), fact('row z')]
    expect(oneTransaction([...others, placed])).toEqual([])
    expect(oneTransaction([...others, placed, fact('row a')])).toEqual([])
    expect(oneTransaction([...others, { ...placed, outcome: 'did-not-happen' }])).toEqual([])
    expect(oneTransaction([placed, effect('a')]), 'no facts are written down').toEqual([])
  })
})

describe('attention', () => {
  test('finds what is shown to a person and was applied', () => {
    expect(attentionChecker([publish('a'), effect('a'), attention('a'), end])).toMatchObject([{ evidence: [1, 2] }])
    expect(attentionChecker([publish('a'), attention('a'), effect('a'), end])).toHaveLength(1)
  })

  test('what a person sent on or closed, and what may not have been applied, is no violation', () => {
    expect(attentionChecker([attention('a'), person('redrive', 'a'), effect('a')])).toEqual([])
    expect(attentionChecker([attention('a'), person('redrive', 'a'), effect('a'), attention('a')])).toHaveLength(1)
    expect(attentionChecker([attention('a'), effect('a', { outcome: 'unknown' })])).toEqual([])
    expect(attentionChecker([effect('a'), attention('a', { kind: 'late-message' })])).toEqual([])
  })
})

describe('determinism of handlers', () => {
  const attempt = { outcome: 'did-not-happen', read: '1', wrote: '2' } as const
  test('finds two attempts that read the same and wrote or published something else', () => {
    expect(determinism([effect('a', attempt), effect('a', { read: '1', wrote: '3' })])).toMatchObject([{ evidence: [0, 1] }])
    const emits = [{ topic: 'summaries', identity: 'fresh 1' }]
    expect(determinism([effect('a', attempt), effect('a', { ...attempt, emits })])).toHaveLength(1)
  })

  test('another state, another body, other answers, or no end of the attempt: nothing can be said', () => {
    const other = effect('a', { read: '1', wrote: '3' })
    expect(determinism([effect('a', attempt), { ...other, read: '9' }])).toEqual([])
    expect(determinism([effect('a', attempt), { ...other, revision: 1 }])).toEqual([])
    expect(determinism([effect('a', attempt), { ...other, calls: { pay: 'x' } }])).toEqual([])
    const { wrote: _, ...threw } = attempt
    expect(determinism([effect('a', threw), other])).toEqual([])
    expect(determinism([effect('a', attempt), { ...other, identity: 'b' }])).toEqual([])
    expect(determinism([effect('a', attempt), effect('a', { ...attempt, outcome: 'happened' })])).toEqual([])
  })

  test('ids that are minted may differ when the bodies are told', () => {
    const emitting = (identity: string) => effect('a', { ...attempt, emits: [{ topic: 'summaries', identity, body: 'same' }] })
    expect(determinism([emitting('1'), emitting('2')])).toEqual([])
  })
})
