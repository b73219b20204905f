import { describe, expect, test } from 'vitest'
import type { CallRecord, CallState } from '../../src/calls/call-store.ts'
import { nextCallStep } from '../../src/calls/next-call-step.ts'
import { tokenOf } from '../../src/calls/token.ts'
import type { CallRule } from '../../src/index.ts'

function record(state: CallState, more: Partial<CallRecord> = {}): CallRecord {
  return {
    name: 'charge',
    round: 3,
    state,
    rule: 'repeat',
    token: 't3',
    requests: 1,
    lease: { name: 'l', epoch: 1n },
    process: { pid: 1, host: 'h', startedAt: 's' },
    intentMs: 0,
    settledMs: undefined,
    settledBy: undefined,
    result: undefined,
    error: undefined,
    ...more,
  }
}

const step = (rule: CallRule, found: CallRecord | undefined, whenFailed: 'fail-attempt' | 'apply' = 'fail-attempt') =>
  nextCallStep({ rule, whenFailed }, found)

describe('the next step of a call', () => {
  const rules: CallRule[] = ['repeat', 'ask-person', 'probe']

  test.each(rules)('%s: nothing in the journal: the first round', (rule) => {
    expect(step(rule, undefined)).toEqual({ step: 'request', round: 1 })
  })

  test.each(rules)('%s: what happened is never asked for again', (rule) => {
    const settled = { step: 'settled', outcome: { status: 'happened', result: { id: 7 } } }
    expect(step(rule, record('happened', { result: '{"id":7}' }))).toEqual(settled)
    expect(step(rule, record('happened'))).toEqual({ step: 'settled', outcome: { status: 'happened' } })
  })

  test.each(rules)('%s: a known failure and a voided token begin a new round, anything else keeps it', (rule) => {
    expect(step(rule, record('failed'))).toEqual({ step: 'request', round: 4 })
    expect(step(rule, record('voided'))).toEqual({ step: 'request', round: 4 })
    expect(step(rule, record('did-not-happen'))).toEqual({ step: 'request', round: 3 })
  })

  test("a known failure with whenFailed 'apply' is apply's, for ever", () => {
    const error = { name: 'CallFailed', code: 'declined', message: 'no' }
    expect(step('repeat', record('failed', { error }), 'apply')).toEqual({
      step: 'settled',
      outcome: { status: 'failed', error: { code: 'declined', message: 'no' } },
    })
  })

  test.each<CallState>(['unknown', 'intent'])('%s: the rule decides', (state) => {
    expect(step('repeat', record(state))).toEqual({ step: 'request', round: 3 })
    expect(step('ask-person', record(state))).toMatchObject({ step: 'person', round: 3 })
    expect(step('probe', record(state))).toEqual({ step: 'probe', round: 3, token: 't3' })
  })

  test.each(rules)('%s: it happened but its answer is lost: a person, never another request', (rule) => {
    const error = { name: 'OnefoldError', code: 'CALL_RESULT_INVALID', message: 'the call happened, but …' }
    expect(step(rule, record('unknown', { error }))).toMatchObject({ step: 'person', error })
  })
})

describe('tokens', () => {
  test('differ in every part, and not otherwise', () => {
    const tokens = [
      tokenOf('t', 'g', 's/1'),
      tokenOf('t', 'g', 's/1', { name: 'a', round: 1 }),
      tokenOf('t', 'g', 's/1', { name: 'a', round: 2 }),
      tokenOf('t', 'g', 's/1', { name: 'b', round: 1 }),
      tokenOf('t', 'g', 's/2', { name: 'a', round: 1 }),
      tokenOf('t', 'h', 's/1', { name: 'a', round: 1 }),
      tokenOf('u', 'g', 's/1', { name: 'a', round: 1 }),
    ]
    expect(new Set(tokens).size).toBe(tokens.length)
    expect(tokenOf('t', 'g', 's/1', { name: 'a', round: 1 })).toBe(tokens[1])
    for (const token of tokens) expect(token).toMatch(/^[0-9a-f]{32}$/)
  })
})
