import { describe, expect, test } from 'vitest'
import { topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { sleep, until } from '../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}

const steps = topic<Step>('steps', { partitions: 4, id: (step) => step.id, key: (step) => step.key })
const one = topic<Step>('steps', { partitions: 1, id: (step) => step.id, key: (step) => step.key })
const some = (count: number, keys: number) =>
  Array.from({ length: count }, (_, number) => ({ data: { id: `${number}`, key: `k${number % keys}` } }))

describeOnEngines('receive', (engine) => {
  describe.each(['at-least-once', 'at-most-once'] as const)('receive, %s', (semantics) => {
    test.each([1, 3, 16])(
      'never more than %i handlers at a time, never two of a key, order per key kept',
      async (concurrency) => {
        const app = (await engine.store('')).app()
        const running = new Set<string>()
        const order = new Map<string, string[]>()
        let most = 0
        // The first are held until there are as many as there may be, and a little longer: one too many would come now.
        const full = Promise.withResolvers<void>()
        app.consume(steps, {
          group: 'g',
          semantics,
          concurrency,
          receive: async ({ id, key }) => {
            expect(running.has(key)).toBe(false)
            running.add(key)
            most = Math.max(most, running.size)
            if (running.size === concurrency) setTimeout(full.resolve, 20)
            await full.promise
            await sleep(Math.random() * 4)
            running.delete(key)
            order.set(key, [...(order.get(key) ?? []), id])
          },
        })
        await app.publishMany(steps, some(120, 24))
        await app.start()
        await app.idle()
        expect(most).toBe(concurrency)
        expect([...order.values()].flat()).toHaveLength(120)
        for (const ids of order.values()) expect(ids).toEqual(ids.toSorted((a, b) => Number(a) - Number(b)))
        expect((await app.status()).groups).toMatchObject([{ semantics, applied: 120, lag: 0 }])
      },
    )

    test('never inside a transaction: app.publish works in it', async () => {
      const store = await engine.store('')
      const app = store.app()
      app.consume(one, {
        group: 'g',
        semantics,
        receive: async ({ id }) => void (await app.publish(topic('echoes'), { of: id })),
      })
      await app.publishMany(one, some(3, 1))
      await app.start()
      await app.idle()
      expect(await store.column(`select count(*) from ${store.log} where topic = 'echoes'`)).toEqual([3])
    })
  })

  test('at least once: the token is equal on every attempt, after parking and after redrive, and another for each message and group', async () => {
    const app = (await engine.store('')).app()
    const tokens = new Map<string, Set<string>>()
    let broken = true
    const take = (name: string, token: string): void => {
      tokens.set(name, new Set([...(tokens.get(name) ?? []), token]))
      if (broken) throw new Error('no')
    }
    for (const group of ['g', 'h']) {
      app.consume(one, {
        group,
        semantics: 'at-least-once',
        maxAttempts: 4,
        backoffMs: 1,
        receive: ({ id }, { token }) => take(`${group}/${id}`, token),
      })
    }
    await app.publishMany(one, some(2, 2))
    await app.start()
    await app.idle()
    broken = false
    for (const item of await app.attention.list()) await app.attention.redrive(item.id)
    await app.idle()
    expect(tokens.size).toBe(4)
    for (const each of tokens.values()) expect(each.size).toBe(1)
    expect(new Set([...tokens.values()].flatMap((each) => [...each])).size).toBe(4)
  })

  test('at most once: acknowledged before the handler runs; a failed attempt is the only one, and is told of', async () => {
    const store = await engine.store('')
    const app = store.app()
    const attempts: string[] = []
    const acknowledged: number[] = []
    app.consume(one, {
      group: 'g',
      semantics: 'at-most-once',
      batchSize: 1,
      receive: async ({ id }) => {
        attempts.push(id)
        acknowledged.push((await store.column<number>(`select "offset" from ${store.table('checkpoint')}`))[0] ?? 0)
        throw new Error('lost')
      },
    })
    await app.publishMany(one, some(3, 1))
    await app.start()
    await app.idle()
    expect(attempts).toEqual(['0', '1', '2'])
    expect(acknowledged).toEqual([1, 2, 3])
    expect(await app.attention.list()).toEqual([])
    expect(store.events.filter((event) => event.kind === 'attempt-failed').map((event) => event.id)).toEqual(['0', '1', '2'])
  })

  test('at least once: acknowledged only after the handler has ended', async () => {
    const store = await engine.store('')
    const app = store.app()
    const offsets: (number | undefined)[] = []
    app.consume(one, {
      group: 'g',
      semantics: 'at-least-once',
      batchSize: 1,
      receive: async () => {
        await sleep(5)
        offsets.push((await store.column<number>(`select "offset" from ${store.table('checkpoint')}`))[0])
      },
    })
    await app.publishMany(one, some(3, 1))
    await app.start()
    await app.idle()
    expect(offsets).toEqual([undefined, 1, 2])
  })

  test('what is done is acknowledged while a slow handler of a later message is still running', async () => {
    const store = await engine.store('')
    const app = store.app()
    let release: () => void = () => undefined
    app.consume(one, {
      group: 'g',
      semantics: 'at-least-once',
      concurrency: 4,
      receive: async ({ id }) => {
        if (id === '5')
          await new Promise<void>((resolve) => {
            release = resolve
          })
      },
    })
    await app.publishMany(one, some(10, 10))
    await app.start()
    await until(
      async () => (await store.column<number>(`select "offset" from ${store.table('checkpoint')}`))[0] === 5,
      'the first five',
    )
    await sleep(50)
    expect(await store.column(`select "offset" from ${store.table('checkpoint')}`)).toEqual([5])
    release()
    await app.idle()
    expect(await store.column(`select "offset" from ${store.table('checkpoint')}`)).toEqual([10])
  })

  test('an attempt that takes longer than timeoutMs fails, its signal aborts, and the next attempt runs', async () => {
    const app = (await engine.store('')).app()
    const attempts: number[] = []
    const reasons: unknown[] = []
    app.consume(one, {
      group: 'g',
      semantics: 'at-least-once',
      timeoutMs: 60,
      receive: async (_step, { attempt, signal }) => {
        attempts.push(attempt)
        signal.addEventListener('abort', () => reasons.push((signal.reason as { code: string }).code))
        if (attempt === 1) await new Promise(() => undefined)
      },
    })
    await app.publish(one, { id: 'x', key: 'k' })
    await app.start()
    await app.idle()
    expect(attempts).toEqual([1, 2])
    expect(reasons).toEqual(['TRANSACTION_TIMEOUT'])
  })

  test('a handler that fails behind a parked message of its key does not run until that one is through', async () => {
    const app = (await engine.store('')).app()
    const seen: string[] = []
    app.consume(steps, {
      group: 'g',
      semantics: 'at-least-once',
      concurrency: 8,
      backoffMs: 30,
      receive: async ({ id }, { attempt }) => {
        await sleep(1)
        if (Number(id) < 4 && attempt < 4) throw new Error('not yet')
        seen.push(id)
      },
    })
    await app.publishMany(steps, some(40, 4))
    await app.start()
    await app.idle()
    for (let key = 0; key < 4; key++) {
      const ids = seen.filter((id) => Number(id) % 4 === key)
      expect(ids).toEqual(Array.from({ length: 10 }, (_, index) => `${index * 4 + key}`))
    }
  })
})
