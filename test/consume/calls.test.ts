import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AnyCall, CallOutcome, Probe } from '../../src/index.ts'
import { CallFailed, CallUnknown, call, TerminalError, topic } from '../../src/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { sleep, until } from '../support/until.ts'

interface Order {
  readonly id: string
  readonly key?: string
}

const orders = topic<Order>('orders', { partitions: 2, id: (order) => order.id, key: (order) => order.key ?? order.id })

describeOnEngines('calls', (engine) => {
  /** One group whose handler keeps what its calls gave; `requests` are the tokens of every request made. */
  async function subject<C extends AnyCall>(
    make: (requests: string[]) => C,
    options: { apply?: (id: string, attempt: number) => void } = {},
  ) {
    const store = await engine.store()
    const requests: string[] = []
    const seen: unknown[] = []
    const build = () => {
      const app = store.app({ leaseMs: 300 })
      app.consume(orders, {
        group: 'g',
        backoffMs: 1,
        maxAttempts: 4,
        calls: { charge: make(requests) as AnyCall },
        apply: handler(function* ({ id }: Order, { tx, attempt, calls }: Context<{ charge: unknown }>) {
          yield store.write(tx, 'insert into effect values (?, ?)', id, attempt)
          seen.push(calls.charge)
          options.apply?.(id, attempt)
        }),
      })
      return app
    }
    const attention = async (app: ReturnType<typeof build>) =>
      (await app.attention.list()).map(({ envelope, kind, errorMessage }) => ({ id: envelope.id, kind, errorMessage }))
    return { store, build, requests, seen, attention }
  }

  describe('consumer with calls', () => {
    test('a call that answers: made once, apply gets its result as JSON gives it back', async () => {
      const { store, build, requests, seen } = await subject((requests) =>
        call((order: Order, { token }) => {
          requests.push(token)
          return { id: `charge of ${order.id}`, at: new Date(0), secret: undefined }
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(seen).toEqual([{ id: 'charge of a', at: '1970-01-01T00:00:00.000Z' }])
      expect(await store.effects()).toEqual(['a'])
      expect(requests).toHaveLength(1)
      expect(requests[0]).toMatch(/^[0-9a-f]{32}$/)
      expect(await app.status()).toMatchObject({ groups: [{ applied: 1, parked: 0, attention: 0, lag: 0 }] })
    })

    test('apply fails after the call: attempted again with the remembered result, the call is not made again', async () => {
      const { store, build, requests, seen } = await subject(
        (requests) =>
          call((order: Order, { token }) => {
            requests.push(token)
            return order.id
          }),
        {
          apply: (_, attempt) => {
            if (attempt < 3) throw new Error('not yet')
          },
        },
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(await store.effects()).toEqual(['a'])
      expect(requests).toHaveLength(1)
      expect(seen).toEqual(['a', 'a', 'a'])
    })

    test('a known failure: the next attempt makes it in a new round, with a new token', async () => {
      const { store, build, requests } = await subject((requests) =>
        call((_: Order, { token }) => {
          requests.push(token)
          if (requests.length < 3) throw new CallFailed('declined', { code: 'declined' })
          return 'paid'
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(await store.effects()).toEqual(['a'])
      expect(new Set(requests).size).toBe(3)
    })

    test("a known failure with whenFailed 'apply': apply decides, also when it is attempted again", async () => {
      const { build, requests, seen } = await subject(
        (requests) =>
          call(
            (_: Order, { token }): string => {
              requests.push(token)
              throw new CallFailed('card declined', { code: 'declined' })
            },
            { whenFailed: 'apply' },
          ),
        {
          apply: (_, attempt) => {
            if (attempt === 1) throw new Error('not yet')
          },
        },
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      const declined: CallOutcome<string> = { status: 'failed', error: { code: 'declined', message: 'card declined' } }
      expect(seen).toEqual([declined, declined])
      expect(requests).toHaveLength(1)
    })

    test('a terminal failure: a dead letter after one request', async () => {
      const { build, requests, attention } = await subject((requests) =>
        call((_: Order, { token }): string => {
          requests.push(token)
          throw requests.length % 2 === 1 ? new TerminalError('closed') : new CallFailed('fraud', { terminal: true })
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      await app.publish(orders, { id: 'b' })
      await app.idle()
      expect(requests).toHaveLength(2)
      expect(await attention(app)).toMatchObject([
        { id: 'a', kind: 'dead-letter', errorMessage: 'closed' },
        { id: 'b', kind: 'dead-letter', errorMessage: 'fraud' },
      ])
    })

    test("an unknown outcome with 'repeat': made again with the same token until it answers", async () => {
      const { store, build, requests } = await subject((requests) =>
        call((_: Order, { token }) => {
          requests.push(token)
          if (requests.length < 3) throw new Error('socket hang up')
          return 'paid'
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(await store.effects()).toEqual(['a'])
      expect(requests).toHaveLength(3)
      expect(new Set(requests).size).toBe(1)
    })

    test("an unknown outcome with 'repeat' to the last attempt: a person is asked, not a dead letter", async () => {
      const { build, requests, attention } = await subject((requests) =>
        call((_: Order, { token }): string => {
          requests.push(token)
          throw new CallUnknown('no answer')
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(requests).toHaveLength(4)
      expect(await attention(app)).toMatchObject([{ id: 'a', kind: 'unknown-outcome' }])
    })

    test("an unknown outcome with 'ask-person': one request, then attention, and the key waits", async () => {
      const { store, build, requests, attention } = await subject((requests) =>
        call(
          (order: Order, { token }): string => {
            requests.push(token)
            if (order.id === 'a1') throw new Error('socket hang up')
            return 'sent'
          },
          { whenUnknown: 'ask-person' },
        ),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a1', key: 'a' })
      await app.publish(orders, { id: 'a2', key: 'a' })
      await app.publish(orders, { id: 'b1', key: 'b' })
      await app.idle()
      expect(await store.effects()).toEqual(['b1'])
      expect(requests).toHaveLength(2)
      expect(await attention(app)).toMatchObject([
        { id: 'a1', kind: 'unknown-outcome', errorMessage: expect.stringContaining('call charge of message a1: socket hang up') },
      ])
      expect(await app.status()).toMatchObject({ groups: [{ attention: 1, parked: 1 }] })
    })

    test.each<
      [string, Probe<string> | (() => Probe<string>), { requests: number; tokens: number; effects: string[]; kind?: string }]
    >([
      ['it happened: its result is remembered', { happened: 'found' }, { requests: 1, tokens: 1, effects: ['a'] }],
      ['it did not happen: the same token again', 'did-not-happen', { requests: 2, tokens: 1, effects: ['a'] }],
      ['its token is void: a new one', 'voided', { requests: 2, tokens: 2, effects: ['a'] }],
      ['it cannot tell, ever: a person', 'unknown', { requests: 1, tokens: 1, effects: [], kind: 'unknown-outcome' }],
      [
        'it fails, ever: a person',
        () => {
          throw new Error('lookup is down')
        },
        { requests: 1, tokens: 1, effects: [], kind: 'unknown-outcome' },
      ],
    ])('an unknown outcome with a probe that says %s', async (_, answer, expected) => {
      const { store, build, requests, attention } = await subject((requests) =>
        call(
          (_: Order, { token }): string => {
            requests.push(token)
            if (requests.length === 1) throw new Error('socket hang up')
            return 'paid'
          },
          { whenUnknown: () => (typeof answer === 'function' ? answer() : answer) },
        ),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect({ requests: requests.length, tokens: new Set(requests).size, effects: await store.effects() }).toEqual({
        requests: expected.requests,
        tokens: expected.tokens,
        effects: expected.effects,
      })
      expect((await attention(app)).map((item) => item.kind)).toEqual(expected.kind === undefined ? [] : [expected.kind])
    })

    test('no answer within timeoutMs: its signal aborts and the outcome is unknown', async () => {
      let aborted = 0
      const { build, requests, attention } = await subject((requests) =>
        call(
          (_: Order, { token, signal }) => {
            requests.push(token)
            signal.addEventListener('abort', () => aborted++)
            return new Promise<string>(() => undefined)
          },
          { whenUnknown: 'ask-person', timeoutMs: 20 },
        ),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(aborted).toBe(1)
      expect(requests).toHaveLength(1)
      expect(await attention(app)).toMatchObject([{ errorMessage: expect.stringContaining('within timeoutMs (20 ms)') }])
    })

    test('when says no: not called, and apply gets undefined', async () => {
      const { store, build, requests, seen } = await subject((requests) =>
        call(
          (_: Order, { token }) => {
            requests.push(token)
            return 'sent'
          },
          { when: (order) => order.id.startsWith('x') },
        ),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(await store.effects()).toEqual(['a'])
      expect(requests).toEqual([])
      expect(seen).toEqual([undefined])
    })

    test('when throws: the attempt fails, neighbours are applied', async () => {
      const { store, build, attention } = await subject(() =>
        call((_: Order) => 'sent', {
          when: ({ id }) => {
            if (id === 'bad') throw new Error('cannot decide')
            return true
          },
        }),
      )
      const app = build()
      await app.start()
      await app.publishMany(orders, [{ data: { id: 'a' } }, { data: { id: 'bad' } }, { data: { id: 'b' } }])
      await app.idle()
      expect((await store.effects()).sort()).toEqual(['a', 'b'])
      expect(await attention(app)).toMatchObject([{ id: 'bad', kind: 'dead-letter', errorMessage: 'cannot decide' }])
    })

    test('a result schema: what it does not name is not remembered; another answer needs a person although it happened', async () => {
      const { store, build, seen, requests, attention } = await subject((requests) =>
        call(
          (order: Order, { token }): unknown => {
            requests.push(token)
            return order.id === 'a' ? { fee: 3, pan: '4242' } : { fee: 'three' }
          },
          { result: z.object({ fee: z.number() }) },
        ),
      )
      const app = build()
      await app.start()
      await app.publishMany(orders, [{ data: { id: 'a' } }, { data: { id: 'b' } }])
      await app.idle()
      expect(seen).toEqual([{ fee: 3 }])
      expect(await store.effects()).toEqual(['a'])
      expect(requests).toHaveLength(2)
      expect(await attention(app)).toMatchObject([
        {
          id: 'b',
          kind: 'unknown-outcome',
          errorMessage: expect.stringContaining('the call happened, but its answer is not what'),
        },
      ])
    })

    test.each([
      [
        'a cycle',
        () =>
          Object.assign(
            {},
            { toJSON: undefined },
            (() => {
              const it: { self?: unknown } = {}
              it.self = it
              return it
            })(),
          ),
      ],
      ['a bigint', () => 1n],
    ])('an answer that JSON cannot carry (%s): it happened, is not made again, and waits for a person', async (_, answer) => {
      const { build, requests, attention } = await subject((requests) =>
        call((_: Order, { token }): unknown => {
          requests.push(token)
          return answer()
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(requests).toHaveLength(1)
      expect(await attention(app)).toMatchObject([{ id: 'a', kind: 'unknown-outcome' }])
    })

    test('calls of different keys are under way at the same time, never two of one key, and never more than concurrency', async () => {
      const store = await engine.store()
      const app = store.app()
      const now = new Set<string>()
      let most = 0
      // The first are held until there are as many as there may be, and a little longer: one too many would come now.
      const full = Promise.withResolvers<void>()
      const order: string[] = []
      app.consume(orders, {
        group: 'g',
        concurrency: 5,
        calls: {
          slow: call(async ({ id, key = '' }: Order) => {
            expect(now.has(key)).toBe(false)
            now.add(key)
            most = Math.max(most, now.size)
            if (now.size === 5) setTimeout(full.resolve, 20)
            await full.promise
            await new Promise((resolve) => setTimeout(resolve, 5))
            now.delete(key)
            return id
          }),
        },
        apply: handler(function* ({ id, key }: Order, { tx }) {
          yield store.write(tx, 'insert into effect values (?, 1)', id)
          order.push(`${key}${id}`)
        }),
      })
      await app.start()
      await app.publishMany(
        orders,
        Array.from({ length: 60 }, (_, index) => ({
          data: { id: String(index).padStart(2, '0'), key: 'abcdefghijkl'[index % 12] ?? '' },
        })),
      )
      await app.idle()
      expect(most).toBe(5)
      expect(await store.effects()).toHaveLength(60)
      for (const key of 'abcdefghijkl') {
        const ofKey = order.filter((name) => name.startsWith(key))
        expect(ofKey).toEqual([...ofKey].sort())
      }
    })

    test('several calls of one message run at the same time; the one that happened is kept when another fails', async () => {
      const store = await engine.store()
      const app = store.app()
      const made = { quick: 0, slow: 0 }
      const { promise: both, resolve } = Promise.withResolvers<void>()
      app.consume(orders, {
        group: 'g',
        backoffMs: 1,
        calls: {
          quick: call(async (_: Order) => {
            made.quick++
            await both
            return 'q'
          }),
          slow: call((_: Order) => {
            made.slow++
            resolve()
            if (made.slow === 1) throw new CallFailed('no')
            return 's'
          }),
        },
        apply: ({ id }: Order, { tx, calls }) =>
          store.write(tx, 'insert into effect values (?, 1)', `${id}${calls.quick}${calls.slow}`),
      })
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(await store.effects()).toEqual(['aqs'])
      expect(made).toEqual({ quick: 1, slow: 2 })
    })

    test('an answer that comes long after that of another call is waited for all the same', async () => {
      const store = await engine.store()
      const app = store.app()
      app.consume(orders, {
        group: 'g',
        calls: {
          quick: call((_: Order) => 'q'),
          slow: call(async (_: Order) => {
            await sleep(150)
            return 's'
          }),
        },
        apply: ({ id }: Order, { tx, calls }) =>
          store.write(tx, 'insert into effect values (?, 1)', `${id}${calls.quick}${calls.slow}`),
      })
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      expect(await store.effects()).toEqual(['aqs'])
    })

    test('messages without a key: none waits for another', async () => {
      const store = await engine.store()
      const app = store.app()
      const keyless = topic<Order>('keyless', { partitions: 1, id: (order) => order.id })
      let first = true
      app.consume(keyless, {
        group: 'g',
        backoffMs: 1,
        calls: {
          slow: call(async ({ id }: Order) => {
            if (!first) return id
            first = false
            throw new CallFailed('not yet')
          }),
        },
        apply: ({ id }: Order, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id),
      })
      await app.start()
      for (const id of ['a', 'b', 'c']) await app.publish(keyless, { id })
      await app.idle()
      expect((await store.effects()).sort()).toEqual(['a', 'b', 'c'])
    })

    test('a message that wants no call waits for an earlier one of its key that does, and for no other', async () => {
      const store = await engine.store()
      const app = store.app()
      const gate = Promise.withResolvers<void>()
      app.consume(orders, {
        group: 'g',
        calls: { slow: call(async (_: Order) => await gate.promise, { when: ({ id }) => id === 'a1' }) },
        apply: ({ id }: Order, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id),
      })
      await app.start()
      await app.publishMany(
        orders,
        ['a1', 'a2', 'b1', 'c1', 'a3'].map((id) => ({ data: { id, key: id.slice(0, 1) } })),
      )
      await until(async () => (await store.effects()).length === 2, 'the other keys')
      expect((await store.effects()).sort()).toEqual(['b1', 'c1'])
      await app.publish(orders, { id: 'b2', key: 'b' })
      await until(async () => (await store.effects()).length === 3, 'another of a key that nothing holds')
      gate.resolve()
      await app.idle()
      expect((await store.effects()).filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
    })

    test('stopped with drain: what has begun ends; what has not stays for the next start', async () => {
      const gate = Promise.withResolvers<void>()
      const { store, build, requests } = await subject((requests) =>
        call(async (_: Order, { token }) => {
          requests.push(token)
          await gate.promise
          return 'paid'
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await until(() => requests.length === 1, 'the request')
      const stopped = app.stop()
      gate.resolve()
      await stopped
      expect(await store.effects()).toEqual(['a'])
    })

    test('stopped without drain: the signal aborts, the outcome is journaled as unknown, and the attempt does not count', async () => {
      let stuck = true
      const { store, build, requests, seen } = await subject((requests) =>
        call((_: Order, { token }) => {
          requests.push(token)
          return stuck ? new Promise<string>(() => undefined) : 'paid'
        }),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await until(() => requests.length === 1, 'the request')
      await app.stop({ drainMs: 0 })
      expect(await store.column(`select state from ${store.table('call')}`)).toEqual(['unknown'])
      expect(await store.column(`select state || attempts from ${store.table('parked')}`)).toEqual(['waiting0'])
      stuck = false
      const next = build()
      await next.start()
      await next.idle()
      expect(seen).toEqual(['paid'])
      expect(new Set(requests).size).toBe(1)
      expect(await store.effects()).toEqual(['a'])
    })

    test('a call renamed while its journal is needed: start refuses, naming it', async () => {
      const { store, build, requests } = await subject((requests) =>
        call(
          (_: Order, { token }): string => {
            requests.push(token)
            throw new Error('hang up')
          },
          { whenUnknown: 'ask-person' },
        ),
      )
      const app = build()
      await app.start()
      await app.publish(orders, { id: 'a' })
      await app.idle()
      await app.stop()
      const renamed = store.app()
      renamed.consume(orders, { group: 'g', calls: { payment: call(() => 'x') }, apply: () => undefined })
      await expect(renamed.start()).rejects.toMatchObject({ code: 'CALL_RENAMED', details: { call: 'charge' } })
      const without = store.app()
      without.consume(orders, 'g', () => undefined)
      await expect(without.start()).rejects.toMatchObject({ code: 'CALL_RENAMED' })
      expect(requests).toHaveLength(1)
    })
  })
})
