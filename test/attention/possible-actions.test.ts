import { describe, expect, test } from 'vitest'
import type { AttentionItem } from '../../src/attention/attention-store.ts'
import { discardOf, editOf, possibleActions, redriveOf, settleOf } from '../../src/attention/possible-actions.ts'
import type { Situation } from '../../src/attention/situation.ts'
import type { CallRecord } from '../../src/calls/call-store.ts'

const nowMs = 10_000_000
const item: AttentionItem = {
  id: 'a1',
  topic: 'orders',
  group: 'ship',
  partition: '0',
  kind: 'dead-letter',
  state: 'open',
  fingerprint: 'f',
  errorName: 'Error',
  errorMessage: 'no',
  errorStack: '',
  attempts: 3,
  crashes: 0,
  behind: 0,
  sinceMs: nowMs,
  by: undefined,
  reason: undefined,
  closedMs: undefined,
  envelope: { id: 'm', source: 's', type: 'orders', timeMs: 0, headers: {}, json: '{}' },
}

function record(change: Partial<CallRecord> = {}): CallRecord {
  return {
    name: 'charge',
    round: 1,
    state: 'unknown',
    rule: 'ask-person',
    token: 't0ken',
    requests: 1,
    lease: { name: 'orders/ship/0', epoch: 4n },
    process: { pid: 4711, host: 'shop-3/boot/ns', startedAt: '1' },
    intentMs: nowMs - 180_000,
    settledMs: nowMs - 120_000,
    settledBy: 'call',
    result: undefined,
    error: { name: 'CallUnknown', code: '', message: 'no answer' },
    ...change,
  }
}

function situation(
  calls: readonly CallRecord[],
  change: Partial<AttentionItem> = {},
  owner: 'alive' | 'dead' | 'unknown' = 'dead',
): Situation {
  return { item: { ...item, ...change }, calls, isAlive: () => owner, nowMs }
}

const lost = { state: 'unknown', error: { name: 'OnefoldError', code: 'CALL_RESULT_INVALID', message: 'x' } } as const

describe('redrive', () => {
  test.each<[string, Partial<CallRecord>, string, RegExp]>([
    ['a call that happened', { state: 'happened' }, 'stands', /Call charge happened 2 min ago and is not made again/],
    ['one that failed', { state: 'failed' }, 'new-token', /Call charge failed 2 min ago; it is made again with a new token/],
    ['one settled as not happened', { state: 'did-not-happen' }, 'same-token', /not having happened .*again with the same token/],
    ['one whose token is voided', { state: 'voided' }, 'new-token', /voided, .*again with a new token/],
    [
      'an unknown one to repeat',
      { rule: 'repeat' },
      'same-token',
      /may have happened 3 min ago; it is made again with the same token/,
    ],
    ['an unknown one to ask about', { rule: 'probe' }, 'asked-about', /the other side is asked first/],
    ['an intent to repeat', { state: 'intent', rule: 'repeat' }, 'same-token', /with the same token/],
  ])('with %s is possible, and says what becomes of it', (_, change, fate, sentence) => {
    const action = redriveOf(situation([record(change)]))
    expect(action).toMatchObject({ possible: true, calls: [{ call: 'charge', round: 1, fate }] })
    expect(action.sentence).toMatch(sentence)
  })

  test.each<[string, readonly CallRecord[], Partial<AttentionItem>, string, RegExp]>([
    [
      'an unknown call for a person',
      [record()],
      {},
      'call-unsettled',
      /charge may have happened 3 min ago.*token t0ken.*settle it/,
    ],
    ['an intent for a person', [record({ state: 'intent' })], { kind: 'unknown-outcome' }, 'call-unsettled', /settle it/],
    [
      'a lost result, whatever the rule',
      [record({ ...lost, rule: 'repeat' })],
      {},
      'result-missing',
      /settle it as happened, with its result/,
    ],
    ['a late message', [], { kind: 'late-message' }, 'late-message', /may have been applied before/],
    ['an item that is closed', [], { state: 'discarded' }, 'closed', /^Nothing: it was discarded already\.$/],
  ])('is refused for %s', (_, calls, change, why, sentence) => {
    const action = redriveOf(situation(calls, change))
    expect(action).toMatchObject({ possible: false, why })
    expect(action.sentence).toMatch(sentence)
  })
})

describe('edit', () => {
  test('is refused as long as any outcome is unknown, whatever the rule says', () => {
    for (const rule of ['repeat', 'probe', 'ask-person'] as const)
      for (const state of ['intent', 'unknown'] as const)
        expect(editOf(situation([record({ rule, state })]))).toMatchObject({ possible: false, why: 'call-unsettled' })
  })

  test('says that a call that happened is not repeated, and renews the token of one that did not happen', () => {
    const action = editOf(situation([record({ state: 'happened' }), record({ name: 'mail', state: 'did-not-happen' })]))
    expect(action).toMatchObject({
      possible: true,
      calls: [
        { call: 'charge', fate: 'stands' },
        { call: 'mail', fate: 'new-token' },
      ],
    })
    expect(action.sentence).toContain('Call charge happened 2 min ago, with the data as it was, and is not made again')
    expect(action.sentence).toContain('Its id, key and headers stay')
  })
})

describe('discard', () => {
  test.each<[string, Partial<CallRecord>]>([
    ['happened', { state: 'happened' }],
    ['may have happened', { state: 'unknown', rule: 'repeat' }],
    ['happened without a result', lost],
  ])('of a message whose call %s has to be confirmed', (_, change) => {
    const action = discardOf(situation([record(change)]))
    expect(action).toMatchObject({ possible: true, confirm: { option: 'callsStand' } })
    expect((action as { confirm: { sentence: string } }).confirm.sentence).toMatch(/Call charge .*--calls-stand/)
  })

  test('of one whose calls all failed, or that came too late, is not', () => {
    expect(discardOf(situation([record({ state: 'failed' })]))).not.toHaveProperty('confirm')
    expect(discardOf(situation([], { kind: 'late-message' }))).toMatchObject({ possible: true, calls: [] })
  })
})

describe('settle', () => {
  const unknown = { kind: 'unknown-outcome' } as const

  test('an outcome the process itself has recorded as unknown may be settled while it lives: it has given up', () => {
    for (const as of ['happened', 'did-not-happen', 'voided'] as const)
      expect(settleOf(situation([record()], unknown, 'alive'), { call: undefined, as })).toMatchObject({ possible: true })
  })

  test('an intent is not settled as not happened while its process may be at it', () => {
    const intent = [record({ state: 'intent', settledMs: undefined, settledBy: undefined, error: undefined })]
    for (const as of ['did-not-happen', 'voided'] as const) {
      const alive = settleOf(situation(intent, unknown, 'alive'), { call: 'charge', as })
      expect(alive).toMatchObject({ possible: false, why: 'owner-alive' })
      expect(alive.sentence).toContain('Process 4711 on shop-3 began call charge 3 min ago')
      expect(settleOf(situation(intent, unknown, 'unknown'), { call: 'charge', as })).toMatchObject({
        possible: true,
        confirm: { option: 'ownerIsGone', sentence: expect.stringContaining('Process 4711 on shop-3') },
      })
      expect(settleOf(situation(intent, unknown, 'dead'), { call: 'charge', as })).not.toHaveProperty('confirm')
    }
    for (const owner of ['alive', 'unknown', 'dead'] as const)
      expect(settleOf(situation(intent, unknown, owner), { call: undefined, as: 'happened' })).not.toHaveProperty('confirm')
  })

  test('a call that is known to have happened cannot be settled otherwise', () => {
    for (const as of ['did-not-happen', 'voided'] as const)
      expect(settleOf(situation([record(lost)], unknown), { call: undefined, as })).toMatchObject({
        why: 'known-to-have-happened',
      })
    expect(settleOf(situation([record(lost)], unknown), { call: undefined, as: 'happened' })).toMatchObject({ possible: true })
  })

  test('names the calls when there are several, says what is missing, and what stays', () => {
    const two = situation([record(), record({ name: 'mail' })], unknown)
    expect(settleOf(two, { call: undefined, as: 'happened' })).toMatchObject({
      why: 'which-call',
      sentence: expect.stringContaining('charge, mail'),
    })
    expect(settleOf(two, { call: 'sms', as: 'happened' })).toMatchObject({
      why: 'no-such-call',
      sentence: expect.stringContaining('charge, mail'),
    })
    expect(settleOf(two, { call: 'mail', as: 'happened' }).sentence).toContain(
      'stays here: the outcome of charge is unknown as well',
    )
    expect(settleOf(situation([], unknown), { call: undefined, as: 'happened' })).toMatchObject({ why: 'nothing-to-settle' })
    expect(settleOf(situation([record()], { kind: 'dead-letter' }), { call: undefined, as: 'happened' }).sentence).toContain(
      'then redrive, edit or discard',
    )
    expect(settleOf(situation([record()], unknown), { call: undefined, as: 'happened' }).sentence).toContain('goes on at once')
  })

  test('what is settled already is no mistake: a second click', () => {
    const settled = record({ state: 'happened', settledBy: 'mia' })
    expect(settleOf(situation([settled]), { call: 'charge', as: 'voided' })).toMatchObject({ why: 'closed' })
    expect(settleOf(situation([settled]), { call: undefined, as: 'voided' })).toMatchObject({ why: 'closed' })
    expect(settleOf(situation([settled], { state: 'settled' }), { call: 'charge', as: 'voided' })).toMatchObject({
      why: 'closed',
    })
  })

  test('a late message is settled as a whole', () => {
    const late = situation([], { kind: 'late-message', behind: 2 })
    expect(settleOf(late, { call: undefined, as: 'happened' }).sentence).toContain('never applied again. 2 messages waiting')
    expect(settleOf(late, { call: undefined, as: 'did-not-happen' })).toMatchObject({ possible: true })
    expect(settleOf(late, { call: undefined, as: 'voided' })).toMatchObject({ why: 'not-for-late' })
    expect(settleOf(late, { call: 'charge', as: 'happened' })).toMatchObject({ why: 'not-for-late' })
  })
})

test('the preview has each outcome of each unsettled call, and of a late message as a whole', () => {
  const preview = possibleActions(situation([record(), record({ name: 'mail', state: 'happened' })], { kind: 'unknown-outcome' }))
  expect(preview.settle.map(({ call, as }) => `${call} ${as}`)).toEqual([
    'charge happened',
    'charge did-not-happen',
    'charge voided',
  ])
  expect(preview).toMatchObject({ redrive: { possible: false }, edit: { possible: false }, discard: { possible: true } })
  expect(possibleActions(situation([], { kind: 'late-message' })).settle.map(({ call, as }) => `${call} ${as}`)).toEqual([
    'undefined happened',
    'undefined did-not-happen',
  ])
})
