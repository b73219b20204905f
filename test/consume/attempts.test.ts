import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AttemptSettings, NextStep } from '../../src/consume/attempts.ts'
import { nextStep } from '../../src/consume/attempts.ts'
import { RetryLater, TerminalError } from '../../src/errors.ts'

const settings: AttemptSettings = { maxAttempts: 8, inlineAttempts: 2, backoffMs: 1000, maxBackoffMs: 300_000 }

function stepAfter(
  attempts: number,
  error: unknown = new Error('x'),
  changes: Partial<AttemptSettings> = {},
  random = 0.5,
): NextStep {
  return nextStep({ attempts, error, settings: { ...settings, ...changes }, random })
}

const anySettings = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 1000 }),
  inlineAttempts: fc.integer({ min: 1, max: 10 }),
  backoffMs: fc.integer({ min: 0, max: 3_600_000 }),
  maxBackoffMs: fc.integer({ min: 0, max: 86_400_000 }),
})
const anyRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe('after a failed attempt', () => {
  test('the message is tried inline, then parked for ever longer, then a dead letter', () => {
    const steps = Array.from({ length: 8 }, (_, i) => stepAfter(i + 1, undefined, {}, 0.999_999))
    expect(steps).toEqual([
      { step: 'again-inline' },
      { step: 'park', delayMs: 1000 },
      { step: 'park', delayMs: 2000 },
      { step: 'park', delayMs: 4000 },
      { step: 'park', delayMs: 8000 },
      { step: 'park', delayMs: 16_000 },
      { step: 'park', delayMs: 32_000 },
      { step: 'dead-letter' },
    ])
  })

  test('maxAttempts counts the first: with 1 there is no second attempt', () => {
    expect(stepAfter(1, undefined, { maxAttempts: 1 })).toEqual({ step: 'dead-letter' })
    expect(stepAfter(1, new RetryLater({ afterMs: 5 }), { maxAttempts: 1 })).toEqual({ step: 'dead-letter' })
  })

  test('with one inline attempt the first failure parks', () => {
    expect(stepAfter(1, undefined, { inlineAttempts: 1 })).toEqual({ step: 'park', delayMs: 501 })
  })

  test('the delay is between 1 ms and its bound, whatever the settings, and attempts end', () => {
    fc.assert(
      fc.property(anySettings, anyRandom, fc.integer({ min: 1, max: 1100 }), (any, random, attempts) => {
        const next = nextStep({ attempts, error: new Error('x'), settings: any, random })
        if (attempts >= any.maxAttempts) expect(next.step).toBe('dead-letter')
        else if (attempts < any.inlineAttempts) expect(next.step).toBe('again-inline')
        else {
          expect(next.step).toBe('park')
          if (next.step !== 'park') return
          const bound = Math.min(any.maxBackoffMs, any.backoffMs * 2 ** (attempts - any.inlineAttempts))
          expect(Number.isInteger(next.delayMs)).toBe(true)
          expect(next.delayMs).toBeGreaterThanOrEqual(1)
          expect(next.delayMs).toBeLessThanOrEqual(Math.max(1, bound))
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('the jitter is full: every delay from 1 ms to the bound is equally likely', () => {
    const delays = Array.from({ length: 1000 }, (_, i) => stepAfter(2, undefined, {}, i / 1000)).map(
      (next) => next.step === 'park' && next.delayMs,
    )
    expect(delays).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1))
  })

  test('no back-off still lets others run first', () => {
    expect(stepAfter(900, undefined, { backoffMs: 0, maxAttempts: 1000 })).toEqual({ step: 'park', delayMs: 1 })
  })

  test('the bound stays the bound however many attempts there were', () => {
    expect(stepAfter(999, undefined, { maxAttempts: 1000 }, 0.999_999_999)).toEqual({ step: 'park', delayMs: 300_000 })
  })
})

describe('a TerminalError', () => {
  test('makes a dead letter at once, inline attempts or not', () => {
    expect(stepAfter(1, new TerminalError('account is closed'))).toEqual({ step: 'dead-letter' })
  })

  test('does so when it comes from another copy of the package, or from a class that extends it', () => {
    class AccountClosed extends TerminalError {}
    const OtherCopy = { TerminalError: class TerminalError extends Error {} }
    class Renamed extends OtherCopy.TerminalError {
      override readonly name = 'Renamed'
    }
    const plain = Object.assign(new Error('x'), { name: 'TerminalError' })
    for (const error of [new AccountClosed(), new OtherCopy.TerminalError(), new Renamed(), plain]) {
      expect(stepAfter(1, error)).toEqual({ step: 'dead-letter' })
    }
  })

  test('is not seen in other errors, nor in things that are no errors', () => {
    const hostile = {
      get name(): string {
        throw new Error('no')
      },
    }
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    for (const error of [new Error('TerminalError'), 'TerminalError', undefined, null, 5, hostile, proxy, Object.create(null)]) {
      expect(stepAfter(1, error)).toEqual({ step: 'again-inline' })
    }
  })
})

describe('a RetryLater', () => {
  test('parks for the delay it names, inline attempts or not', () => {
    expect(stepAfter(1, new RetryLater({ afterMs: 60_000 }))).toEqual({ step: 'park', delayMs: 60_000 })
    expect(stepAfter(5, new RetryLater({ afterMs: 0 }))).toEqual({ step: 'park', delayMs: 0 })
    expect(stepAfter(5, new RetryLater({ afterMs: 0.2 }))).toEqual({ step: 'park', delayMs: 1 })
  })

  test('counts as an attempt: the last one makes a dead letter', () => {
    expect(stepAfter(7, new RetryLater({ afterMs: 60_000 }))).toEqual({ step: 'park', delayMs: 60_000 })
    expect(stepAfter(8, new RetryLater({ afterMs: 60_000 }))).toEqual({ step: 'dead-letter' })
  })

  test('from another copy of the package parks too, for 30 days at most', () => {
    const other = (afterMs: unknown) => Object.assign(new Error('x'), { name: 'RetryLater', afterMs })
    expect(stepAfter(1, other(60_000))).toEqual({ step: 'park', delayMs: 60_000 })
    expect(stepAfter(1, other(Number.POSITIVE_INFINITY))).toEqual({ step: 'park', delayMs: 30 * 24 * 3_600_000 })
  })

  test('without a delay that makes sense is a failure like any other', () => {
    const hostile = {
      name: 'RetryLater',
      get afterMs(): number {
        throw new Error('no')
      },
    }
    for (const afterMs of [undefined, 'soon', -1, Number.NaN]) {
      expect(stepAfter(1, Object.assign(new Error('x'), { name: 'RetryLater', afterMs }))).toEqual({ step: 'again-inline' })
    }
    expect(stepAfter(1, hostile)).toEqual({ step: 'again-inline' })
  })
})
