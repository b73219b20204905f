import { describe, expect, test } from 'vitest'
import { checkConsumeOptions } from '../../src/consume/settings.ts'
import type { ConsumeOptions } from '../../src/index.ts'
import { isOnefoldError, RetryLater, topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { rejection } from '../support/until.ts'

const nothing = (): void => undefined
const steps = topic('steps')

const refusal = (work: () => unknown): { code?: string; message: string; option?: unknown } => {
  try {
    work()
  } catch (error) {
    if (isOnefoldError(error)) return { code: error.code, message: error.message, option: error.details.option }
    throw error
  }
  return { message: 'was taken' }
}

describe('options of a consumer', () => {
  const wrong: [string, Record<string, unknown>][] = [
    ['group', { group: '' }],
    ['group', { group: 'white space' }],
    ['consume', { apply: undefined }],
    ['consume', { applyBatch: nothing }],
    ['consume', { apply: 'not a function' }],
    ['semantics', { semantics: 'exactly-once' }],
    ['semantics', { semantics: 'at-least-once' }],
    ['semantics', { apply: undefined, receive: nothing }],
    ['semantics', { apply: undefined, receive: nothing, semantics: 'effectively-once' }],
    ['startFrom', { startFrom: 'now' }],
    ['onExhausted', { onExhausted: 'drop' }],
    ['batchSize', { batchSize: 0 }],
    ['batchSize', { batchSize: 10_001 }],
    ['maxAttempts', { maxAttempts: 0 }],
    ['maxAttempts', { maxAttempts: 1_001 }],
    ['inlineAttempts', { inlineAttempts: 0 }],
    ['inlineAttempts', { inlineAttempts: 11 }],
    ['backoffMs', { backoffMs: -1 }],
    ['backoffMs', { backoffMs: Number.NaN }],
    ['maxBackoffMs', { maxBackoffMs: 86_400_001 }],
    ['maxCrashes', { maxCrashes: 0 }],
    ['transactionTimeoutMs', { transactionTimeoutMs: 9 }],
    ['transactionTimeoutMs', { transactionTimeoutMs: 1.5 }],
    ['concurrency', { apply: undefined, receive: nothing, semantics: 'at-least-once', concurrency: 0 }],
    ['concurrency', { apply: undefined, receive: nothing, semantics: 'at-least-once', concurrency: 1_001 }],
    ['timeoutMs', { apply: undefined, receive: nothing, semantics: 'at-most-once', timeoutMs: 9 }],
  ]
  test.each(wrong)('a wrong %s is refused by name: %o', (option, options) => {
    const given = { group: 'g', apply: nothing, ...options } as unknown as ConsumeOptions<unknown, unknown>
    expect(refusal(() => checkConsumeOptions(given))).toMatchObject({ code: 'OPTION_INVALID', option })
  })

  test('the bounds themselves are taken', () => {
    const apply = { group: 'g', apply: nothing }
    for (const options of [
      { batchSize: 1, maxAttempts: 1, inlineAttempts: 1, backoffMs: 0, maxBackoffMs: 0, maxCrashes: 1, transactionTimeoutMs: 10 },
      {
        batchSize: 10_000,
        maxAttempts: 1_000,
        inlineAttempts: 10,
        backoffMs: 3_600_000,
        maxBackoffMs: 86_400_000,
        maxCrashes: 100,
        transactionTimeoutMs: 3_600_000,
      },
    ])
      expect(checkConsumeOptions({ ...apply, ...options })).toMatchObject({
        batchSize: options.batchSize,
        maxAttempts: options.maxAttempts,
      })
  })

  test('inline attempts are never more than attempts', () => {
    expect(checkConsumeOptions({ group: 'g', apply: nothing, maxAttempts: 1, inlineAttempts: 5 }).inlineAttempts).toBe(1)
  })

  test('defaults are the documented ones', () => {
    expect(checkConsumeOptions({ group: 'g', apply: nothing })).toEqual({
      semantics: 'effectively-once',
      startFrom: 'earliest',
      onExhausted: 'hold',
      maxAttempts: 8,
      inlineAttempts: 2,
      batchSize: 500,
      backoffMs: 1_000,
      maxBackoffMs: 300_000,
      maxCrashes: 3,
      concurrency: 1,
      timeoutMs: 30_000,
    })
    expect(checkConsumeOptions({ group: 'g', semantics: 'at-least-once', receive: nothing })).toMatchObject({
      batchSize: 64,
      timeoutMs: 30_000,
    })
  })

  test('RetryLater outside 0 to 30 days is refused by name', () => {
    for (const afterMs of [-1, Number.NaN, 30 * 86_400_000 + 1])
      expect(refusal(() => new RetryLater({ afterMs }))).toMatchObject({ option: 'afterMs' })
  })
})

describeOnEngines('consume and start', (engine) => {
  test('a group is consumed once per topic in an app; another topic or group is fine', async () => {
    const app = (await engine.store('')).app()
    app.consume(steps, 'g', nothing)
    app.consume(steps, 'h', nothing)
    app.consume(topic('others'), 'g', nothing)
    expect(refusal(() => app.consume(steps, 'g', nothing))).toMatchObject({ code: 'OPTION_INVALID', option: 'group' })
    expect(app.consumers.map(({ topic: { name }, group }) => `${name}/${group}`)).toEqual(['steps/g', 'steps/h', 'others/g'])
  })

  test('consume after start is refused; start twice too', async () => {
    const app = (await engine.store('')).app()
    await app.start()
    expect(refusal(() => app.consume(steps, 'g', nothing))).toMatchObject({ code: 'APP_STARTED' })
    expect(await rejection(app.start())).toMatchObject({ code: 'APP_STARTED' })
  })

  test('start({ groups }) names a group that nobody declared, and the app can still be started', async () => {
    const app = (await engine.store('')).app()
    app.consume(steps, 'g', nothing)
    expect(await rejection(app.start({ groups: ['h'] }))).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'groups' } })
    await app.start({ groups: ['g'] })
  })

  test('pause and resume name a group that was not started', async () => {
    const app = (await engine.store('')).app()
    app.consume(steps, 'g', nothing)
    await app.start()
    expect(refusal(() => app.pause('h'))).toMatchObject({ option: 'group' })
    expect(refusal(() => app.resume('h'))).toMatchObject({ option: 'group' })
  })
})
