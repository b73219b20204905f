import { describe, expect, test } from 'vitest'
import type { CheckOptions, Operation } from '../../../src/testing/index.ts'
import {
  callRepeat,
  callResult,
  callSilence,
  callToken,
  callTokenShared,
  callTurn,
  chargedOnce,
  honestUnknowns,
} from '../../../src/testing/index.ts'
import {
  attention,
  charge,
  effect,
  end,
  endWaiting,
  fault,
  inGroup,
  nameOf,
  person,
  publish,
  request,
  settle,
} from './operations.ts'

const unknown = { outcome: 'unknown' } as const
const refused = { outcome: 'did-not-happen' } as const

describe('charged at most once', () => {
  test('finds each charge beyond the first, under whatever token', () => {
    const history = [charge('a', { id: '1' }), charge('a', { id: '2', token: 'new' }), charge('b')]
    expect(chargedOnce(history)).toMatchObject([{ evidence: [0, 1], about: inGroup('a') }])
  })

  test('other calls, messages and groups are charged for themselves, and only where it is promised', () => {
    expect(chargedOnce([charge('a'), charge('a', { call: 'mail' }), charge('a', { group: 'board' }), charge('b')])).toEqual([])
    const twice = [charge('a', { id: '1' }), charge('a', { id: '2' })]
    expect(chargedOnce(twice, { promises: { calls: { pay: { rule: 'repeat', chargedOnce: false } } } })).toEqual([])
    expect(chargedOnce(twice, { promises: { calls: { pay: { rule: 'probe' } } } })).toHaveLength(1)
  })
})

describe('tokens', () => {
  const fresh = request('a', { token: 'new' })

  test('finds a new token while the outcome under the old one was not a no', () => {
    expect(callToken([request('a', unknown), fresh])).toMatchObject([{ evidence: [0, 1] }])
    expect(callToken([request('a'), fresh])).toHaveLength(1)
    expect(callToken([request('a', unknown), settle('a', 'happened'), fresh])).toHaveLength(1)
    expect(callToken([request('a', unknown), fresh, settle('a', 'voided')]), 'voided too late').toHaveLength(1)
  })

  test('after a no, a void or a denial a new token is right, and so is the old one any time', () => {
    expect(callToken([request('a', refused), fresh])).toEqual([])
    expect(callToken([request('a', unknown), settle('a', 'voided'), fresh])).toEqual([])
    expect(callToken([request('a', unknown), settle('a', 'did-not-happen'), fresh])).toEqual([])
    expect(callToken([request('a', unknown), request('a')])).toEqual([])
    expect(callToken([request('a', unknown), request('a', refused), fresh])).toEqual([])
  })

  test('a no that speaks of one request says nothing of those before it', () => {
    const busy = request('a', { outcome: 'did-not-happen', refuses: 'request' })
    expect(callToken([busy, busy, fresh])).toEqual([])
    expect(callToken([request('a', unknown), busy, fresh])).toMatchObject([{ evidence: [0, 2] }])
    expect(honestUnknowns([publish('a'), request('a', unknown), busy, end])).toMatchObject([{ evidence: [1, 3] }])
    expect(honestUnknowns([publish('a'), busy, end])).toEqual([])
  })

  test('a request under an older token that comes late is no new token', () => {
    expect(callToken([request('a', refused), fresh, request('a', unknown)])).toEqual([])
  })

  test('finds one token for two messages', () => {
    const same = { token: 'same' }
    expect(callTokenShared([request('a', same), request('b', same)])).toMatchObject([{ evidence: [0, 1], about: inGroup('b') }])
    expect(callTokenShared([request('a', same), request('b', { ...same, call: 'mail' }), request('a', same)])).toEqual([])
  })

  test("finds a second request where the rule is 'ask-person'", () => {
    const asks: CheckOptions = { promises: { calls: { pay: { rule: 'ask-person' } } } }
    expect(callRepeat([request('a', unknown), request('a')], asks)).toMatchObject([{ evidence: [0, 1] }])
    expect(callRepeat([request('a', unknown), fresh], asks)).toHaveLength(1)
    expect(callRepeat([request('a'), request('a')], asks)).toHaveLength(1)
    expect(callRepeat([request('a', unknown), settle('a', 'did-not-happen'), request('a')], asks)).toEqual([])
    expect(callRepeat([request('a', unknown), settle('a', 'happened'), request('a')], asks)).toHaveLength(1)
    expect(callRepeat([request('a', refused), fresh], asks)).toEqual([])
    expect(callRepeat([request('a', unknown), request('a')])).toEqual([])
  })
})

describe('turns of calls', () => {
  const published = [publish('a'), publish('b')]
  test('finds a request for a message after one for a later one of its key', () => {
    expect(callTurn([...published, request('b'), request('a')])).toMatchObject([{ evidence: [0, 1, 2, 3], about: inGroup('a') }])
    expect(callTurn([...published, request('a'), request('b')])).toEqual([])
    expect(callTurn([publish('a'), publish('b', { key: 'other' }), request('b'), request('a')])).toEqual([])
    expect(callTurn([publish('a', unknown), publish('b'), publish('a'), request('b'), request('a')])).toEqual([])
    expect(callTurn([...published, request('b'), request('a')], { promises: { order: 'none' } })).toEqual([])
  })

  test('finds a request made while one for another of its key was being answered', () => {
    const slow = request('a', { beganMs: 0, endedMs: 10 })
    const soon = request('b', { beganMs: 5, endedMs: 6 })
    expect(callTurn([...published, slow, soon])).toMatchObject([{ evidence: [0, 1, 2, 3], about: inGroup('b') }])
    expect(callTurn([...published, slow, { ...soon, beganMs: 11 }])).toEqual([])
    const { endedMs: _, ...lost } = slow
    expect(callTurn([...published, lost, soon]), 'never answered').toEqual([])
    expect(callTurn([...published, slow, request('a', { beganMs: 5, endedMs: 6 })]), 'the same message').toEqual([])
  })

  test('a request under a token that was answered before may be of a zombie that woke up', () => {
    expect(callTurn([...published, request('a'), request('b'), request('a', unknown)])).toEqual([])
    expect(callTurn([...published, request('a', unknown), request('b'), request('a')])).toHaveLength(1)
    expect(callTurn([...published, request('a'), request('b'), request('a', { token: 'new' })])).toHaveLength(1)
    const times = { beganMs: 5, endedMs: 10 }
    expect(callTurn([...published, request('a', { beganMs: 0, endedMs: 1 }), request('a', times), request('b', times)])).toEqual(
      [],
    )
  })

  test("with 'skip' the next ones do not wait for one that is with a person", () => {
    const history = [...published, request('a', unknown), attention('a'), request('b'), person('redrive', 'a'), request('a')]
    expect(callTurn(history)).toHaveLength(1)
    expect(callTurn(history, { promises: { onExhausted: 'skip' } })).toEqual([])
  })
})

describe('answers of calls', () => {
  test("finds an effect that was handed nobody's charge, or another message's", () => {
    const history = [charge('a'), charge('b')]
    expect(callResult([...history, effect('a', { calls: { pay: 'charge of b' } })])).toMatchObject([{ evidence: [1, 2] }])
    expect(callResult([...history, effect('a', { calls: { pay: 'made up' } })])).toMatchObject([{ evidence: [2] }])
    expect(callResult([...history, effect('a', { calls: { pay: 'charge of a' } }), effect('b')])).toEqual([])
    const nobodys = [effect('a', { calls: { pay: 'charge of a' } })]
    expect(callResult(nobodys), 'there is no ledger').toEqual([])
    expect(callResult(nobodys, { promises: { calls: { pay: { rule: 'repeat', ledgerKnown: true } } } })).toHaveLength(1)
    expect(callResult([...history, effect('a', { outcome: 'did-not-happen', calls: { pay: 'made up' } })])).toEqual([])
  })
})

describe('silence of calls', () => {
  const charged = [publish('a'), charge('a')]
  test('finds what was charged and then forgotten', () => {
    expect(callSilence([...charged, end])).toMatchObject([{ evidence: [1, 2], about: inGroup('a') }])
    expect(callSilence([...charged, endWaiting()])).toHaveLength(1)
    expect(callSilence([...charged, attention('a'), person('redrive', 'a'), end])).toHaveLength(1)
  })

  test('not what is applied, or may be, or is with a person, closed, or on its way', () => {
    for (const done of [effect('a'), effect('a', unknown), attention('a'), person('discard', 'a')]) {
      expect(callSilence([...charged, done, end])).toEqual([])
    }
    expect(callSilence([...charged, endWaiting('a')])).toEqual([])
    expect(callSilence(charged)).toEqual([])
    expect(callSilence([...charged, { ...end, quiet: false }])).toEqual([])
  })
})

describe('honest unknowns', () => {
  const asked: Operation[] = [publish('a'), request('a', unknown)]

  test('finds a call in doubt of which no person is told', () => {
    expect(honestUnknowns([...asked, end])).toMatchObject([{ evidence: [1, 2], about: inGroup('a') }])
    expect(honestUnknowns([...asked, settle('a', 'did-not-happen'), request('a', unknown), end])).toMatchObject([
      { evidence: [3, 4] },
    ])
    expect(honestUnknowns([...asked, attention('a'), person('redrive', 'a'), request('a', unknown), end])).toHaveLength(1)
  })

  test('finds a message that was applied although its call was in doubt, before the end', () => {
    expect(honestUnknowns([...asked, effect('a')])).toMatchObject([{ evidence: [1, 2] }])
  })

  test('resolved, repeated with the same token, with a person, closed or on its way: honest', () => {
    const ways: Operation[][] = [
      [request('a'), effect('a')],
      [request('a', refused), request('a', { token: 'new' }), effect('a')],
      [settle('a', 'happened'), effect('a')],
      [settle('a', 'voided'), request('a', { token: 'new' }), effect('a')],
      [attention('a')],
      [person('discard', 'a')],
      [effect('a', unknown)],
    ]
    for (const way of ways) expect(honestUnknowns([...asked, ...way, end])).toEqual([])
    expect(honestUnknowns([...asked, endWaiting('a')])).toEqual([])
    expect(honestUnknowns(asked)).toEqual([])
  })

  test('an answer speaks of a request of a zombie that comes later, under the same token', () => {
    expect(honestUnknowns([publish('a'), request('a'), effect('a'), request('a', unknown), end])).toEqual([])
  })

  test('finds what was said again under another identity although the first may have been published', () => {
    const said = { intent: 'pay rent' }
    expect(honestUnknowns([publish('a', { ...unknown, ...said }), publish('b', said)])).toMatchObject([
      { evidence: [0, 1], about: nameOf('b') },
    ])
    expect(honestUnknowns([publish('a', { ...unknown, ...said }), publish('a', said)])).toEqual([])
    expect(honestUnknowns([publish('a', { ...refused, ...said }), publish('b', said)])).toEqual([])
    expect(honestUnknowns([publish('a', { ...unknown, ...said }), publish('b', { intent: 'pay gas' })])).toEqual([])
  })

  test('finds a publish in doubt whose producer lived on and did nothing', () => {
    const doubt = publish('a', unknown)
    expect(honestUnknowns([doubt, end])).toMatchObject([{ evidence: [0, 1], about: nameOf('a') }])
    expect(honestUnknowns([doubt, fault('p'), end]), 'its producer is gone').toEqual([])
    expect(honestUnknowns([doubt, publish('a'), end])).toEqual([])
    expect(honestUnknowns([doubt, effect('a'), end]), 'it is known to have happened').toEqual([])
    expect(honestUnknowns([doubt])).toEqual([])
  })
})
