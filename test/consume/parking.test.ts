import { describe, expect, test } from 'vitest'
import type { ConsumeReceive } from '../../src/index.ts'
import { RetryLater, TerminalError, topic } from '../../src/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { until } from '../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}

const steps = topic<Step>('steps', { partitions: 1, id: (step) => step.id, key: (step) => step.key })
const echoes = topic<{ of: string }>('echoes', { partitions: 1 })

type Kind = 'apply' | 'receive'
const kinds: Kind[] = ['apply', 'receive']

type Settings = Partial<
  Pick<ConsumeReceive<Step>, 'maxAttempts' | 'inlineAttempts' | 'backoffMs' | 'maxBackoffMs' | 'onExhausted'>
>

describeOnEngines('parking', (engine) => {
  /** An app whose handler fails where `fails` says so; what went well is in `done`, every attempt in `attempts`. */
  async function subject(kind: Kind, fails: (id: string, attempt: number) => unknown, settings: Settings = {}) {
    const store = await engine.store()
    const app = store.app()
    const attempts: string[] = []
    const done: string[] = []
    const run = ({ id }: Step, attempt: number): void => {
      attempts.push(`${id}@${attempt}`)
      const error = fails(id, attempt)
      if (error !== undefined) throw error
    }
    const common = { group: 'g', backoffMs: 1, ...settings }
    if (kind === 'apply') {
      app.consume(steps, {
        ...common,
        apply: handler(function* (step: Step, { tx, attempt, publish }: Context) {
          yield store.write(tx, 'insert into effect values (?, ?)', step.id, attempt)
          publish(echoes, { of: step.id })
          run(step, attempt)
        }),
      })
    } else {
      app.consume(steps, {
        ...common,
        semantics: 'at-least-once',
        receive: (step: Step, { attempt }) => {
          run(step, attempt)
          done.push(step.id)
        },
      })
    }
    const publish = (...list: string[]) =>
      app.publishMany(
        steps,
        list.map((name) => ({ data: { id: name, key: name.slice(0, 1) } })),
      )
    return { store, app, attempts, publish, applied: async () => (kind === 'apply' ? await store.effects() : done) }
  }

  const failure = (): Error => new Error('refused by the warehouse')

  describe.each(kinds)('%s: a message whose attempts fail', (kind) => {
    test('is attempted inline, then parked with ever later attempts, and applied when one succeeds; its key waits, others flow', async () => {
      const { app, attempts, publish, applied, store } = await subject(kind, (id, attempt) =>
        id === 'a1' && attempt < 5 ? failure() : undefined,
      )
      await publish('a1', 'b1', 'a2', 'b2', 'a3')
      await app.start()
      await app.idle()
      expect(attempts.filter((each) => each.startsWith('a1'))).toEqual(['a1@1', 'a1@2', 'a1@3', 'a1@4', 'a1@5'])
      expect((await applied()).filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
      expect((await applied()).indexOf('b2')).toBeLessThan((await applied()).indexOf('a1'))
      expect(attempts.filter((each) => !each.startsWith('a1'))).toEqual(expect.arrayContaining(['b1@1', 'b2@1', 'a2@1', 'a3@1']))
      expect(attempts).toHaveLength(9)
      if (kind === 'apply') {
        expect(await store.published('echoes')).toHaveLength(5)
      }
      expect(await app.attention.list()).toEqual([])
    })

    test('waits longer and longer: the delays are bounded by the doubled back-off', async () => {
      const times: number[] = []
      const { app, publish } = await subject(
        kind,
        (_id, attempt) => {
          times.push(performance.now())
          return attempt < 4 ? failure() : undefined
        },
        { backoffMs: 200, maxBackoffMs: 300 },
      )
      await publish('a1')
      await app.start()
      await app.idle()
      expect(times).toHaveLength(4)
      expect(times[1]! - times[0]!).toBeLessThan(60)
      expect(times[3]! - times[2]!).toBeLessThan(300 + 150)
    })

    test('goes to attention after maxAttempts, with the error and its stack; later messages of the key wait in order, also those published afterwards', async () => {
      const { app, attempts, publish, applied, store } = await subject(kind, (id) => (id === 'a1' ? failure() : undefined), {
        maxAttempts: 3,
      })
      await publish('a1', 'a2', 'b1')
      await app.start()
      await app.idle()
      await publish('a3', 'b2')
      await app.idle()
      expect(attempts.filter((each) => each.startsWith('a'))).toEqual(['a1@1', 'a1@2', 'a1@3'])
      expect(await applied()).toEqual(['b1', 'b2'])
      const [item, ...others] = await app.attention.list()
      expect(others).toEqual([])
      expect(item).toMatchObject({
        topic: 'steps',
        group: 'g',
        state: 'open',
        kind: 'dead-letter',
        attempts: 3,
        behind: 2,
        errorName: 'Error',
        errorMessage: 'refused by the warehouse',
        envelope: { id: 'a1', key: 'a', json: '{"id":"a1","key":"a"}' },
      })
      expect(item?.errorStack).toContain('parking.test.ts')
      expect((await app.status()).groups).toMatchObject([{ parked: 2, attention: 1, lag: 0 }])
      expect(store.events.filter((event) => event.kind === 'attention')).toMatchObject([{ id: 'a1', topic: 'steps', group: 'g' }])
    })

    test('redrive: attempts begin again, then what waited is applied in order, each once; a second redrive changes nothing', async () => {
      let broken = true
      const { app, attempts, publish, applied } = await subject(kind, (id) => (id === 'a1' && broken ? failure() : undefined), {
        maxAttempts: 2,
      })
      await publish('a1', 'a2', 'a3')
      await app.start()
      await app.idle()
      await publish('a4')
      const [item] = await app.attention.list()
      broken = false
      attempts.length = 0
      const twice = await Promise.all([1, 2].map(() => app.attention.redrive(item!.id, { by: 'mia' })))
      expect(twice.toSorted()).toEqual([false, true])
      await app.idle()
      expect(attempts).toEqual(['a1@1', 'a2@1', 'a3@1', 'a4@1'])
      expect(await applied()).toEqual(['a1', 'a2', 'a3', 'a4'])
      expect(await app.attention.redrive(item!.id)).toBe(false)
      expect(await app.attention.list({ state: 'all' })).toMatchObject([{ state: 'redriven', by: 'mia' }])
    })

    test('a redriven message gets all of its attempts again, and so does one that waited behind it', async () => {
      const { app, attempts, publish } = await subject(kind, (id) => (id.startsWith('a') ? failure() : undefined), {
        maxAttempts: 3,
        inlineAttempts: 3,
      })
      await publish('a1', 'a2')
      await app.start()
      await app.idle()
      expect(attempts).toEqual(['a1@1', 'a1@2', 'a1@3'])
      const [first] = await app.attention.list()
      await app.attention.redrive(first!.id)
      await app.idle()
      expect(attempts.slice(3)).toEqual(['a1@1', 'a1@2', 'a1@3'])
      const [again] = await app.attention.list()
      await app.attention.discard(again!.id, { by: 'mia', reason: 'never' })
      await app.idle()
      expect(attempts.slice(6)).toEqual(['a2@1', 'a2@2', 'a2@3'])
    })

    test('discard: it is never applied, its followers move on, and who did it and why is kept', async () => {
      const { app, publish, applied } = await subject(kind, (id) => (id === 'a1' ? failure() : undefined), { maxAttempts: 1 })
      await publish('a1', 'a2', 'a3')
      await app.start()
      await app.idle()
      const [item] = await app.attention.list()
      expect(await app.attention.discard(item!.id, { by: 'mia', reason: 'customer left' })).toBe(true)
      expect(await app.attention.discard(item!.id, { by: 'max', reason: 'me too' })).toBe(false)
      expect(await app.attention.redrive(item!.id)).toBe(false)
      await app.idle()
      await publish('a4')
      await app.idle()
      expect(await applied()).toEqual(['a2', 'a3', 'a4'])
      expect(await app.attention.show(item!.id)).toMatchObject({ state: 'discarded', by: 'mia', reason: 'customer left' })
      expect((await app.publish(steps, { id: 'a1', key: 'a' })).status).toBe('duplicate')
    })

    test.each([1, 3])('onExhausted skip: later messages of the key pass it (inline attempts: %i)', async (inlineAttempts) => {
      const { app, publish, applied } = await subject(kind, (id) => (id === 'a1' ? failure() : undefined), {
        maxAttempts: 3,
        inlineAttempts,
        onExhausted: 'skip',
      })
      await publish('a1', 'a2', 'a3')
      await app.start()
      await app.idle()
      await publish('a4')
      await app.idle()
      expect(await applied()).toEqual(['a2', 'a3', 'a4'])
      expect(await app.attention.list()).toMatchObject([{ envelope: { id: 'a1' }, attempts: 3, behind: 0 }])
    })

    test('TerminalError goes to attention at once', async () => {
      const { app, attempts, publish } = await subject(kind, () => new TerminalError('account is closed'))
      await publish('a1')
      await app.start()
      await app.idle()
      expect(attempts).toEqual(['a1@1'])
      expect(await app.attention.list()).toMatchObject([{ attempts: 1, errorName: 'TerminalError' }])
    })

    test('RetryLater chooses when the next attempt runs', async () => {
      const times: number[] = []
      const { app, publish, applied } = await subject(kind, (id, attempt) => {
        if (id !== 'a1') return undefined
        times.push(performance.now())
        return attempt === 1 ? new RetryLater({ afterMs: 120 }) : undefined
      })
      await publish('a1', 'a2')
      await app.start()
      await app.idle()
      expect(times).toHaveLength(2)
      expect(times[1]! - times[0]!).toBeGreaterThan(115)
      expect(await applied()).toEqual(['a1', 'a2'])
    })

    test('parked messages outlive a restart, in order', async () => {
      const first = await subject(kind, (id) => (id === 'a1' ? failure() : undefined), { maxAttempts: 1 })
      await first.publish('a1', 'a2')
      await first.app.start()
      await first.app.idle()
      await first.app.stop()
      const app = first.store.app()
      const seen: string[] = []
      app.consume(steps, { group: 'g', semantics: 'at-least-once', receive: ({ id }) => void seen.push(id) })
      const [item] = await app.attention.list()
      await app.publish(steps, { id: 'a3', key: 'a' })
      await app.attention.redrive(item!.id)
      await app.start()
      await app.idle()
      expect(seen).toEqual(['a1', 'a2', 'a3'])
    })

    test('two keys in trouble do not mix: each is released with its own', async () => {
      const broken = new Set(['a1', 'b1'])
      const { app, publish, applied } = await subject(kind, (id) => (broken.has(id) ? failure() : undefined), { maxAttempts: 1 })
      await publish('a1', 'b1', 'a2', 'b2', 'c1')
      await app.start()
      await app.idle()
      expect(await applied()).toEqual(['c1'])
      broken.clear()
      const items = await app.attention.list()
      await app.attention.redrive(items.find((item) => item.envelope.id === 'b1')!.id)
      await app.idle()
      expect(await applied()).toEqual(['c1', 'b1', 'b2'])
      await app.attention.redrive(items.find((item) => item.envelope.id === 'a1')!.id)
      await app.idle()
      expect(await applied()).toEqual(['c1', 'b1', 'b2', 'a1', 'a2'])
    })
  })

  describe('what nothing can apply', () => {
    test('data that does not fit the schema any more, or is no JSON, goes to attention and the rest is applied', async () => {
      const store = await engine.store()
      const lax = topic<{ n: unknown }>('numbers', { partitions: 1 })
      const producer = store.app()
      await producer.publishMany(lax, [
        { data: { n: 1 }, id: 'good' },
        { data: { n: 'two' }, id: 'bad' },
        { data: { n: 3 }, id: 'torn' },
      ])
      await producer.stop()
      await store.exec(`update ${store.table('log')} set data = '{"n":' where id = 'torn'`)
      const { z } = await import('zod')
      const strict = topic('numbers', { partitions: 1, schema: z.object({ n: z.number() }) })
      const app = store.app()
      let calls = 0
      app.consume(
        strict,
        'g',
        handler(function* ({ n }: { n: number }, { tx, message }: Context) {
          calls++
          yield store.write(tx, 'insert into effect values (?, ?)', message.id, n)
        }),
      )
      await app.start()
      await app.idle()
      expect(await store.effects()).toEqual(['good'])
      expect(calls).toBe(1)
      expect(await app.attention.list()).toMatchObject([
        { envelope: { id: 'bad' }, attempts: 1, errorMessage: expect.stringMatching(/schema of topic numbers: n:/) },
        { envelope: { id: 'torn' }, attempts: 1, errorMessage: expect.stringMatching(/cannot be read/) },
      ])
    })

    test('an asynchronous schema that refuses at receive: attention, once', async () => {
      const store = await engine.store()
      const producer = store.app()
      await producer.publish(topic<{ ok: boolean }>('checked', { partitions: 1 }), { ok: false }, { id: 'x' })
      await producer.stop()
      const checked = topic('checked', {
        partitions: 1,
        schema: {
          '~standard': {
            version: 1 as const,
            vendor: 'hand-written',
            validate: async (value: unknown) =>
              (value as { ok: boolean }).ok
                ? { value: value as { ok: true } }
                : { issues: [{ message: 'is not ok', path: ['ok'] }] },
          },
        },
      })
      const app = store.app()
      app.consume(checked, 'g', () => {
        throw new Error('never called')
      })
      await app.start()
      await app.idle()
      expect(await app.attention.list()).toMatchObject([{ errorMessage: expect.stringMatching(/ok: is not ok/) }])
    })
  })

  test('order none: a failing message holds nobody up, not even of its key', async () => {
    const store = await engine.store()
    const queue = topic<Step>('steps', { partitions: 1, id: (step) => step.id, key: (step) => step.key, order: 'none' })
    const app = store.app()
    app.consume(queue, {
      group: 'g',
      maxAttempts: 1,
      apply: handler(function* ({ id }: Step, { tx }: Context) {
        yield store.write(tx, 'insert into effect values (?, 1)', id)
        if (id === 'a1') throw new Error('no')
      }),
    })
    await app.publishMany(
      queue,
      ['a1', 'a2', 'a3'].map((id) => ({ data: { id, key: 'a' } })),
    )
    await app.start()
    await app.idle()
    expect(await store.effects()).toEqual(['a2', 'a3'])
    expect(await app.attention.list()).toMatchObject([{ behind: 0 }])
  })

  test('order total: a failing message holds up everything behind it, whatever its key', async () => {
    const store = await engine.store()
    const total = topic<Step>('steps', { id: (step) => step.id, key: (step) => step.key, order: 'total' })
    const app = store.app()
    let broken = true
    app.consume(total, {
      group: 'g',
      maxAttempts: 1,
      apply: handler(function* ({ id }: Step, { tx }: Context) {
        yield store.write(tx, 'insert into effect values (?, 1)', id)
        if (id === 'b1' && broken) throw new Error('no')
      }),
    })
    await app.publishMany(
      total,
      ['a1', 'b1', 'c1', 'd1'].map((id) => ({ data: { id, key: id.slice(0, 1) } })),
    )
    await app.start()
    await app.idle()
    expect(await store.effects()).toEqual(['a1'])
    broken = false
    const [item] = await app.attention.list()
    expect(item?.behind).toBe(2)
    await app.attention.redrive(item!.id)
    await until(async () => (await store.effects()).length === 4, 'the rest')
    expect(await store.effects()).toEqual(['a1', 'b1', 'c1', 'd1'])
  })
})
