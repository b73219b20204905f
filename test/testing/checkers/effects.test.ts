import { describe, expect, test } from 'vitest'
import { liveness, noDuplicateEffect, noLoss, noPhantom, receipts } from '../../../src/testing/index.ts'
import {
  attention,
  charge,
  consumer,
  effect,
  end,
  endWaiting,
  fact,
  fault,
  inbox,
  inGroup,
  nameOf,
  person,
  publish,
} from './operations.ts'

describe('no loss', () => {
  test('finds what was published and is nowhere at a quiet end', () => {
    const history = [consumer, publish('a'), publish('b'), effect('b'), end]
    expect(noLoss(history)).toEqual([
      {
        checker: 'no-loss',
        what: 'a of topic orders was published, and at the end group ledger has neither applied it nor is it anywhere to be seen.',
        evidence: [1, 4],
        about: inGroup('a'),
      },
    ])
  })

  test('finds it in a group that never did anything, when the group is declared', () => {
    expect(noLoss([publish('a'), end])).toEqual([])
    expect(noLoss([consumer, publish('a'), end])).toHaveLength(1)
  })

  test('says nothing before the end, nor at an end that came too early, unless the system was asked what is waiting', () => {
    expect(noLoss([consumer, publish('a')])).toEqual([])
    expect(noLoss([consumer, publish('a'), { op: 'end', quiet: false }])).toEqual([])
    expect(noLoss([consumer, publish('a'), { op: 'end', quiet: false, waiting: [] }])).toHaveLength(1)
    expect(noLoss([consumer, publish('a'), { op: 'end', quiet: false, waiting: [nameOf('a')] }])).toEqual([])
  })

  test('a publish with an unknown outcome may not have happened, until something shows that it did', () => {
    const unknown = publish('a', { outcome: 'unknown', fact: 'row of a' })
    expect(noLoss([consumer, unknown, end])).toEqual([])
    expect(noLoss([consumer, unknown, fact('row of a'), end])).toHaveLength(1)
    expect(noLoss([consumer, unknown, publish('a', { receipt: 'duplicate' }), end])).toHaveLength(1)
    expect(noLoss([consumer, { ...unknown, outcome: 'did-not-happen' }, end])).toEqual([])
    for (const shown of [
      effect('a', { group: 'board' }),
      effect('a', { group: 'board', outcome: 'unknown' }),
      charge('a'),
      effect('a', { outcome: 'did-not-happen' }),
    ]) {
      expect(noLoss([consumer, unknown, shown, end])).toMatchObject([{ about: inGroup('a') }])
    }
    expect(noLoss([consumer, unknown, person('redrive', 'a'), end]), 'only said').toEqual([])
  })

  test('an effect with an unknown outcome may have happened; one that was rolled back did not', () => {
    expect(noLoss([consumer, publish('a'), effect('a', { outcome: 'unknown' }), end])).toEqual([])
    expect(noLoss([consumer, publish('a'), effect('a', { outcome: 'did-not-happen' }), end])).toHaveLength(1)
  })

  test('what a person has, has closed or has erased is not lost; what a person sent on is', () => {
    const shown = [consumer, publish('a'), attention('a')]
    expect(noLoss([...shown, end])).toEqual([])
    for (const action of ['discard', 'put-aside', 'erase'] as const) {
      expect(noLoss([consumer, publish('a'), person(action, 'a'), end])).toEqual([])
    }
    expect(noLoss([...shown, person('redrive', 'a'), end])).toHaveLength(1)
    expect(noLoss([...shown, person('redrive', 'a', { outcome: 'unknown' }), end])).toEqual([])
    expect(noLoss([...shown, person('redrive', 'a'), attention('a'), end])).toEqual([])
    expect(noLoss([consumer, publish('a'), person('discard', 'a', { outcome: 'did-not-happen' }), end])).toHaveLength(1)
    expect(noLoss([...shown, person('redrive', 'a', { outcome: 'did-not-happen' }), end])).toEqual([])
  })

  test('erasing by key takes what was published before it', () => {
    const erase = { op: 'person', action: 'erase', topic: 'orders', key: 'k', by: 'ann', outcome: 'happened' } as const
    expect(noLoss([consumer, publish('a'), erase, end])).toEqual([])
    expect(noLoss([consumer, erase, publish('a'), end])).toHaveLength(1)
    expect(noLoss([consumer, publish('a', { key: 'other' }), erase, end])).toHaveLength(1)
    expect(noLoss([consumer, publish('a', { outcome: 'did-not-happen' }), erase, publish('a'), end])).toHaveLength(1)
    expect(noLoss([consumer, publish('a', { outcome: 'unknown' }), erase, publish('a'), end])).toEqual([])
  })

  test('what waits behind one that a person has is not lost; what is before it is', () => {
    const history = [consumer, publish('a'), publish('b'), publish('c'), attention('b'), end]
    expect(noLoss(history).map(({ about }) => about)).toEqual([inGroup('a')])
    expect(noLoss(history, { promises: { onExhausted: 'skip' } }).map(({ about }) => about)).toEqual([inGroup('a'), inGroup('c')])
    const perhaps = { outcome: 'unknown' } as const
    expect(noLoss([consumer, publish('a'), publish('b'), attention('a'), person('discard', 'a', perhaps), end])).toEqual([])
    expect(noLoss([consumer, publish('a'), publish('b'), attention('a'), person('discard', 'a'), end])).toHaveLength(1)
    const otherKey = [consumer, publish('a'), publish('b', { key: 'other' }), attention('a'), end]
    expect(noLoss(otherKey).map(({ about }) => about)).toEqual([inGroup('b')])
    expect(noLoss(otherKey, { promises: { order: 'total' } })).toEqual([])
  })

  test('behind one that a person has are later ones of any producer, and earlier ones of none', () => {
    const others = [publish('a', { producer: 'q' }), publish('b')]
    expect(noLoss([consumer, ...others, attention('a'), end])).toEqual([])
    expect(noLoss([consumer, publish('a'), publish('b'), attention('b'), end])).toHaveLength(1)
    expect(noLoss([consumer, publish('a', { outcome: 'unknown' }), publish('b'), publish('a'), attention('b'), end])).toEqual([])
  })

  test('shows a publish that certainly happened', () => {
    const history = [consumer, publish('a', { outcome: 'unknown' }), publish('a'), end]
    expect(noLoss(history)).toMatchObject([{ evidence: [2, 3] }])
  })

  test('a group that starts with the latest is owed only what comes after it', () => {
    const latest = { ...consumer, from: 'latest' as const }
    expect(noLoss([publish('a'), latest, end])).toEqual([])
    expect(noLoss([latest, publish('a'), end])).toHaveLength(1)
  })
})

describe('liveness', () => {
  test('finds what is still waiting long after the last fault', () => {
    const history = [consumer, publish('a'), fault(), endWaiting('a')]
    expect(liveness(history)).toMatchObject([{ checker: 'liveness', evidence: [1, 2, 3], about: inGroup('a') }])
    expect(noLoss(history)).toEqual([])
    expect(liveness([consumer, publish('a'), { op: 'end', quiet: true, waiting: [nameOf('a')] }])).toHaveLength(1)
  })

  test('leaves in peace what is done, with a person, behind one that is, or may not have been published', () => {
    expect(liveness([consumer, publish('a'), effect('a'), endWaiting()])).toEqual([])
    expect(liveness([consumer, publish('a'), endWaiting()]), 'that is a loss').toEqual([])
    expect(liveness([consumer, publish('a'), person('erase', 'a'), endWaiting('a')])).toEqual([])
    expect(liveness([consumer, publish('a'), effect('a', { outcome: 'unknown' }), endWaiting('a')])).toEqual([])
    expect(liveness([consumer, publish('a'), person('discard', 'a'), endWaiting('a')])).toEqual([])
    expect(liveness([consumer, publish('a'), effect('a', { outcome: 'did-not-happen' }), endWaiting('a')])).toHaveLength(1)
    expect(liveness([consumer, publish('a'), publish('b'), attention('a'), endWaiting('a', 'b')])).toEqual([])
    expect(liveness([consumer, publish('a', { outcome: 'unknown' }), endWaiting('a')])).toEqual([])
    expect(liveness([consumer, publish('a'), { ...endWaiting('a'), quiet: false }])).toEqual([])
  })
})

describe('no duplicate effect', () => {
  test('finds each effect after the first, by identity, whatever its attempt and place', () => {
    const history = [
      publish('a'),
      effect('a', { attempt: 1, place: [1, 1] }),
      effect('a', { attempt: 2, place: [1, 9] }),
      effect('a'),
    ]
    expect(noDuplicateEffect(history)).toMatchObject([
      { evidence: [1, 2], about: inGroup('a') },
      { evidence: [1, 3], about: inGroup('a') },
    ])
  })

  test('an unknown effect beside a known one may not have happened, and one that was rolled back did not', () => {
    for (const outcome of ['unknown', 'did-not-happen'] as const) {
      expect(noDuplicateEffect([publish('a'), effect('a', { outcome }), effect('a'), effect('a', { outcome })])).toEqual([])
    }
  })

  test('other groups, replicas and topics have effects of their own', () => {
    const history = [
      effect('a'),
      effect('a', { group: 'board' }),
      effect('a', { replica: '2' }),
      effect('a', { topic: 'refunds' }),
    ]
    expect(noDuplicateEffect(history)).toEqual([])
    expect(noDuplicateEffect([...history, effect('a', { replica: '2' })])).toMatchObject([{ evidence: [2, 4] }])
  })
})

describe('no phantom', () => {
  test('finds an effect that nobody published, or whose publish was refused', () => {
    const history = [
      publish('a'),
      effect('a'),
      effect('x'),
      publish('r', { outcome: 'did-not-happen', receipt: 'refused' }),
      effect('r'),
    ]
    expect(noPhantom(history)).toMatchObject([
      { evidence: [2], what: 'Group ledger applied x of topic orders, and nobody published it.' },
      { evidence: [3, 4], what: 'Group ledger applied r of topic orders, and its publish was refused.' },
    ])
  })

  test('a publish without an answer may have happened, and a receipt may come after the effect', () => {
    expect(noPhantom([publish('a', { outcome: 'unknown' }), effect('a')])).toEqual([])
    expect(noPhantom([effect('a'), publish('a')])).toEqual([])
    expect(noPhantom([publish('a', { outcome: 'did-not-happen' }), publish('a', { outcome: 'unknown' }), effect('a')])).toEqual(
      [],
    )
  })

  test('finds what else was done for a message that was never published, once', () => {
    expect(noPhantom([publish('a'), attention('x'), charge('x')])).toMatchObject([{ evidence: [1] }])
    expect(noPhantom([publish('a'), inbox('x')])).toHaveLength(1)
    expect(noPhantom([publish('a'), effect('x', { outcome: 'unknown' })])).toEqual([])
  })

  test('finds an effect with another body, unless a person had edited it', () => {
    const published = publish('a', { body: '1' })
    expect(noPhantom([published, effect('a', { body: '2' })])).toMatchObject([{ evidence: [0, 1] }])
    expect(noPhantom([published, effect('a', { body: '1' })])).toEqual([])
    expect(noPhantom([published, effect('a')])).toEqual([])
    expect(noPhantom([publish('a'), effect('a', { body: '2' })])).toEqual([])
    expect(noPhantom([published, effect('a', { body: '2', revision: 1 })])).toEqual([])
    expect(noPhantom([published, publish('a', { body: '2', outcome: 'unknown' }), effect('a', { body: '2' })])).toEqual([])
    expect(
      noPhantom([published, publish('a', { body: '2', outcome: 'did-not-happen' }), effect('a', { body: '2' })]),
    ).toHaveLength(1)
  })

  test('does not judge topics of which no publish is written down', () => {
    expect(noPhantom([publish('a', { topic: 'refunds' }), effect('x')])).toEqual([])
  })
})

describe('receipts', () => {
  const accepted = publish('a', { receipt: 'accepted' })
  const duplicate = publish('a', { receipt: 'duplicate' })

  test('finds two that were told accepted', () => {
    expect(receipts([accepted, duplicate, accepted])).toMatchObject([{ evidence: [0, 2], about: nameOf('a') }])
    expect(receipts([accepted, accepted], { promises: { repeatsRecognised: false } })).toEqual([])
    expect(receipts([accepted, publish('b', { receipt: 'accepted' })])).toEqual([])
  })

  test("finds a 'duplicate' of nothing", () => {
    expect(receipts([duplicate])).toHaveLength(1)
    expect(receipts([publish('a', { outcome: 'did-not-happen' }), duplicate])).toHaveLength(1)
    expect(receipts([duplicate, duplicate])).toHaveLength(2)
  })

  test('the one that may have happened may be unknown, or be answered later', () => {
    expect(receipts([publish('a', { outcome: 'unknown' }), duplicate])).toEqual([])
    expect(receipts([duplicate, accepted])).toEqual([])
    expect(receipts([publish('a', { outcome: 'unknown' }), accepted, duplicate])).toEqual([])
  })
})
