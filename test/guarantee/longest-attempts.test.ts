import { describe, expect, test } from 'vitest'
import type { ConsumeOptions } from '../../src/consume/consume-options.ts'
import { longestAttemptsMs } from '../../src/guarantee/longest-attempts.ts'
import { call, topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { rejection } from '../support/until.ts'

const subject = topic<unknown>('orders')
type Settings = Partial<ConsumeOptions<unknown, unknown>> & Record<string, unknown>

function appWith(settings: Settings, windowMs?: number) {
  const app = new TemporaryFile().app(windowMs === undefined ? {} : { dedupWindow: { ms: windowMs } })
  app.consume(subject, { group: 'g', apply: () => undefined, ...settings } as never)
  return app
}
const longest = (settings: Settings): number => {
  const [consumer] = appWith(settings).explain().consumers
  return consumer === undefined ? Number.NaN : longestAttemptsMs(consumer)
}

describe('the longest time that attempts can last', () => {
  test.each<[string, Settings, number]>([
    ['one attempt is one transaction', { maxAttempts: 1, transactionTimeoutMs: 5_000 }, 5_000],
    ['inline attempts have no delay', { maxAttempts: 3, inlineAttempts: 3, transactionTimeoutMs: 100 }, 300],
    [
      'parked ones are as late as they may be, each twice as late',
      { maxAttempts: 5, inlineAttempts: 2, transactionTimeoutMs: 100, backoffMs: 1_000 },
      500 + 1_000 + 2_000 + 4_000,
    ],
    [
      'never later than maxBackoffMs',
      { maxAttempts: 5, inlineAttempts: 1, transactionTimeoutMs: 100, backoffMs: 1_000, maxBackoffMs: 1_500 },
      500 + 1_000 + 1_500 + 1_500 + 1_500,
    ],
    [
      'calls run at the same time before the transaction, and a probe before them',
      {
        maxAttempts: 2,
        transactionTimeoutMs: 100,
        backoffMs: 1_000,
        calls: {
          long: call(() => 1, { timeoutMs: 700 }),
          short: call(() => 1, { timeoutMs: 50, whenUnknown: () => 'unknown' }),
        },
      },
      2 * (50 + 700 + 100) + 1_000,
    ],
  ])('%s', (_name, settings, ms) => expect(longest(settings)).toBe(ms))

  test('the largest options stay a number that can be compared', () => {
    const ms = longest({ maxAttempts: 1_000, maxBackoffMs: 24 * 3_600_000, backoffMs: 3_600_000 })
    expect(Number.isSafeInteger(ms)).toBe(true)
    expect(ms).toBeGreaterThan(990 * 24 * 3_600_000)
  })
})

describe('start()', () => {
  const settings: Settings = { maxAttempts: 4, inlineAttempts: 1, transactionTimeoutMs: 1_000, backoffMs: 30_000 }
  const neededMs = 4 * 1_000 + 30_000 + 60_000 + 120_000

  test('refuses a dedup window that attempts outlive, and names the option, what is needed and the consumer', async () => {
    expect(await rejection(appWith(settings, neededMs - 1).start())).toMatchObject({
      code: 'GUARANTEE_IMPOSSIBLE',
      message: expect.stringMatching(new RegExp(`group g of topic orders.*dedupWindow.ms to ${neededMs} or more`)),
      details: { topic: 'orders', group: 'g', option: 'dedupWindow.ms' },
    })
  })

  test('takes one that is just long enough', async () => {
    await appWith(settings, neededMs).start()
  })

  test('with every default is far within the window', async () => {
    expect(longest({})).toBeLessThan((7 * 24 * 3_600_000) / 100)
  })

  test('does not ask it of a handler that may run again anyway', async () => {
    const app = new TemporaryFile().app({ dedupWindow: { ms: 60_000 } })
    app.consume(subject, { group: 'g', semantics: 'at-least-once', maxAttempts: 100, receive: () => undefined })
    await app.start()
  })
})
