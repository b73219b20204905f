import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import { nextStep } from '../../src/consume/attempts.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { Broker } from '../../src/index.ts'
import { explainText, onefold, topic } from '../../src/index.ts'
import { unreliableBroker } from '../../src/testing/index.ts'
import { scripted } from '../support/scripted-broker.ts'
import { TemporaryFile, temporaryFolder } from '../support/temporary.ts'
import { appWithCalls } from './app-with-calls.ts'

const orders = topic<{ id: string; account: string }>('orders', { id: (order) => order.id, key: (order) => order.account })
const clicks = topic('clicks')
const apply = (): undefined => undefined
const receive = apply

describe('app.explain()', () => {
  test('opens nothing, and gives the same document twice', () => {
    const file = join(temporaryFolder(), 'app.db')
    const app = onefold({ database: sqlite(file) })
    app.consume(orders, 'ledger', apply)
    expect(JSON.stringify(app.explain())).toBe(JSON.stringify(app.explain()))
    expect(existsSync(file)).toBe(false)
  })

  test('does not depend on the order in which consumers were declared', () => {
    const documents = [false, true].map((reversed) => {
      const app = onefold({ source: 'shop', database: sqlite('never-opened.db') })
      const declare = [
        () => app.consume(orders, 'ledger', apply),
        () => app.consume(orders, 'archive', apply),
        () => app.consume(clicks, { group: 'count', semantics: 'at-most-once', receive }),
      ]
      for (const one of reversed ? declare.reverse() : declare) one()
      return app.explain()
    })
    expect(documents[0]).toEqual(documents[1])
    expect(documents[0]?.consumers.map(({ topic, group }) => `${topic}/${group}`)).toEqual([
      'clicks/count',
      'orders/archive',
      'orders/ledger',
    ])
  })

  test('names for each call its rule, what holds and what does not', () => {
    const [consumer] = appWithCalls().explain().consumers
    expect(consumer?.calls).toEqual([
      expect.objectContaining({
        name: 'charge',
        rule: 'repeat',
        whenFailed: 'fail-attempt',
        conditional: false,
        timeoutMs: 30_000,
      }),
      expect.objectContaining({ name: 'mail', rule: 'ask-person', conditional: true }),
      expect.objectContaining({ name: 'wire', rule: 'probe', whenFailed: 'apply', timeoutMs: 5_000 }),
    ])
    for (const call of consumer?.calls ?? []) {
      expect(call.holds.length).toBeGreaterThan(1)
      expect(call.doesNotHold).toHaveLength(1)
    }
  })

  test('a repeat is recognised by the log, by the inbox or by nothing, whichever the broker and the semantics leave', () => {
    const file = (): string => join(temporaryFolder(), 'broker.db')
    const dedupWindow = { ms: 3_600_000, maxIds: 5_000 }
    const broker = unreliableBroker(inDatabaseBroker(sqlite(file())), { seed: 1 })
    const windows = [undefined, broker, inDatabaseBroker(sqlite(file()))].map((broker) => {
      const app = onefold({ database: sqlite('never-opened.db'), dedupWindow, ...(broker === undefined ? {} : { broker }) })
      app.consume(orders, 'a', apply)
      app.consume(orders, { group: 'b', semantics: 'at-least-once', receive })
      app.consume(orders, { group: 'c', semantics: 'at-most-once', receive })
      return app.explain().consumers.map(({ window: { recognisedBy, ms, maxIds, older, sentByOutbox } }) => ({
        recognisedBy,
        ms,
        maxIds,
        older,
        sentByOutbox,
      }))
    })
    const log = { recognisedBy: 'log', ...dedupWindow, older: 'taken for a new message', sentByOutbox: 'as any other' }
    expect(windows[0]).toEqual([log, log, log])
    expect(windows[1]).toEqual([
      { recognisedBy: 'inbox', ...dedupWindow, older: 'waits for a person', sentByOutbox: 'for ever' },
      { recognisedBy: 'nothing', ms: null, maxIds: null, older: 'run again', sentByOutbox: 'as any other' },
      { recognisedBy: 'inbox', ...dedupWindow, older: 'not run', sentByOutbox: 'for ever' },
    ])
    const theirs = {
      recognisedBy: 'broker',
      ms: 7 * 86_400_000,
      maxIds: 10_000_000,
      older: 'taken for a new message',
      sentByOutbox: 'as any other',
    }
    expect(windows[2]).toEqual([theirs, theirs, theirs])
  })

  test('an outbox is said to hand a broker one message of a key at a time exactly where the card says that it needs that', () => {
    const said = (broker: Broker) =>
      onefold({ database: sqlite('never-opened.db'), broker })
        .explain()
        .broker.says.join(' ')
    expect(said(scripted([]))).toMatch(/one identity and one number.*one message of a key at a time/)
    expect(said(inDatabaseBroker(sqlite('never-opened-either.db')))).not.toContain('one message of a key at a time')
  })

  test.each([
    {},
    { maxAttempts: 1 },
    { maxAttempts: 20, inlineAttempts: 5 },
    { maxAttempts: 40, backoffMs: 10, maxBackoffMs: 100 },
    { maxAttempts: 5, backoffMs: 0 },
  ])('the delays of all attempts together are at most what is said: %j', (options) => {
    const app = onefold({ database: sqlite('never-opened.db') })
    app.consume(orders, { group: 'ledger', apply, ...options })
    const { maxAttempts, inlineAttempts, backoffMs, maxBackoffMs, delaysAtMostMs } = app.explain().consumers[0]!.attempts
    const settings = { maxAttempts, inlineAttempts, backoffMs, maxBackoffMs }
    let longestMs = 0
    for (let attempts = 1; attempts <= maxAttempts; attempts++) {
      const step = nextStep({ attempts, error: new Error(), settings, random: 1 - Number.EPSILON })
      if (step.step === 'park') longestMs += step.delayMs
    }
    expect(delaysAtMostMs).toBe(longestMs)
  })
})

describe('what cannot be kept', () => {
  test('from synchronous FULL to NORMAL: the text changes, and start() refuses with the sentence it shows', async () => {
    const file = new TemporaryFile('')
    const [full, normal] = (['FULL', 'NORMAL'] as const).map((synchronous) => {
      const app = file.app({ sqlite: { synchronous } })
      app.consume(orders, 'ledger', apply)
      return app
    })
    if (full === undefined || normal === undefined) throw new Error('two apps were made')
    expect(full.explain().refusals).toEqual([])
    expect(full.explain().consumers[0]?.durability.onDisk).toBe(true)
    const text = explainText(normal.explain())
    expect(text).not.toBe(explainText(full.explain()))
    expect(normal.explain().consumers[0]?.durability).toMatchObject({
      onDisk: false,
      says: expect.stringContaining('not the loss of power'),
    })

    const [refusal] = normal.explain().refusals
    expect(refusal).toMatchObject({ topic: 'orders', group: 'ledger', option: 'synchronous' })
    expect(text.replace(/\s+/g, ' ')).toContain(`start() will refuse: ${refusal?.says}`)
    await expect(normal.start()).rejects.toMatchObject({
      code: 'GUARANTEE_IMPOSSIBLE',
      message: refusal?.says,
      details: { topic: 'orders', group: 'ledger', option: 'synchronous' },
    })
    await full.start()
  })

  test('only what is about to be started is refused', async () => {
    const app = new TemporaryFile('').app({ sqlite: { synchronous: 'NORMAL' } })
    app.consume(orders, 'ledger', apply)
    app.consume(orders, { group: 'mirror', semantics: 'at-least-once', receive })
    expect(app.explain().refusals.map(({ group }) => group)).toEqual(['ledger'])
    await app.start({ groups: ['mirror'] })
  })
})
