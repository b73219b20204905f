/** What calls promise, against a payment provider over HTTP. The same under kills: kill-points.test.ts. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { AnyCall, CallContext, CallOptions, CallOutcome } from '../../src/index.ts'
import { call, RetryLater } from '../../src/index.ts'
import type { Order } from '../support/call-audit.ts'
import { callGroup, orders as ordersTopic, someOrders } from '../support/call-workload.ts'
import { describeOnEngines } from '../support/engines.ts'
import type { Charge } from '../support/payment-client.ts'
import { PaymentClient } from '../support/payment-client.ts'
import type { Behaviour } from '../support/payment-ledger.ts'
import { PaymentProcess } from '../support/payment-process.ts'
import { until } from '../support/until.ts'

let provider: PaymentProcess

beforeEach(async () => {
  provider = await PaymentProcess.start()
  return () => provider.stop()
})

const [order] = someOrders(1, 1) as [Order]

describeOnEngines('payments', (engine) => {
  /** An app whose consumer charges; what `apply` got for each attempt is in `seen`. */
  async function subject(
    options: CallOptions<Order, Charge> & { readonly whenFailed?: 'apply' } = {},
    settings: { readonly concurrency?: number; readonly applyFails?: number; readonly laterMs?: number } = {},
  ) {
    const store = await engine.store()
    const client = new PaymentClient(provider.url, 'test')
    const app = store.app()
    const seen: unknown[] = []
    const request = async ({ id, key }: Order, context: CallContext): Promise<Charge> => {
      try {
        return await client.charge({ reference: id, key }, context)
      } catch (error) {
        if (settings.laterMs === undefined || (error as { status?: number }).status !== 503) throw error
        throw new RetryLater({ afterMs: settings.laterMs, cause: error })
      }
    }
    const charge = call<Order, Charge>(request, {
      timeoutMs: 200,
      ...(options as CallOptions<Order, Charge> & { readonly whenFailed: 'apply' }),
    })
    app.consume(ordersTopic, {
      group: callGroup,
      backoffMs: 20,
      maxAttempts: 20,
      concurrency: settings.concurrency ?? 10,
      calls: { charge: charge as AnyCall },
      apply({ id }: Order, { tx, calls }) {
        seen.push(calls.charge)
        if (seen.length <= (settings.applyFails ?? 0)) throw new Error('apply failed')
        return store.write(tx, 'insert into effect values (?, 1)', id)
      },
    })
    const through = async (all: readonly Order[] = [order]): Promise<void> => {
      await app.publishMany(
        ordersTopic,
        all.map((data) => ({ data })),
      )
      await app.start()
      await until(
        async () => (await store.effects()).length >= all.length,
        async () => `${(await store.effects()).length} of ${all.length} are applied`,
        15_000,
      )
    }
    return { store, app, client, seen, through }
  }

  /** Each request: under the how manieth token, and what was answered. */
  async function asked(): Promise<(readonly [number, number | undefined])[]> {
    const { requests } = await provider.settled()
    const tokens = [...new Set(requests.map(({ token }) => token))]
    return requests.map(({ token, status }) => [tokens.indexOf(token) + 1, status] as const)
  }

  const plan = (...behaviours: Behaviour[]) => provider.change({ plans: { [order.id]: behaviours }, lateMs: 300 })

  describe('a charge', () => {
    test('declined today, accepted tomorrow: the next round has a new token, which a provider needs that repeats its answers', async () => {
      await plan('decline')
      const { through } = await subject()
      await through()
      expect(await asked()).toEqual([
        [1, 402],
        [2, 200],
      ])
    })

    test('with an unknown outcome keeps its token, until the provider has said no', async () => {
      await plan('never', 'charge-then-500', 'unavailable')
      const { through } = await subject()
      await through()
      expect(await asked()).toEqual([
        [1, undefined],
        [1, 500],
        [1, 503],
        [1, 200],
      ])
      expect((await provider.ledger()).charges).toHaveLength(1)
    })

    test('declined, and the answer lost: the repeat is told so, and only then comes a new token', async () => {
      await plan('never', 'decline', 'lose-answer')
      const { through } = await subject()
      await through()
      expect(await asked()).toEqual([
        [1, undefined],
        [1, 402],
        [2, undefined],
        [2, 200],
      ])
      expect((await provider.ledger()).charges).toHaveLength(1)
    })

    test('told to come later when it is repeated: keeps its token, and comes later', async () => {
      await plan('lose-answer', 'unavailable')
      const { through } = await subject({}, { laterMs: 800 })
      await through()
      expect(await asked()).toEqual([
        [1, undefined],
        [1, 503],
        [1, 200],
      ])
      const [, busy, last] = (await provider.ledger()).requests
      expect((last?.arrivedMs ?? 0) - (busy?.endedMs ?? 0)).toBeGreaterThan(750)
    })

    test('made while nobody listens: made again when somebody does', async () => {
      const { through, app } = await subject()
      await provider.close()
      const going = through()
      await until(async () => (await app.status()).groups.some((group) => group.parked === 1), 'it is parked')
      await provider.open()
      await going
      expect((await provider.ledger()).charges).toHaveLength(1)
    })

    test("declined, with whenFailed 'apply': apply is told, once, and no other request is made", async () => {
      await plan('decline')
      const { through, seen } = await subject({ whenFailed: 'apply' }, { applyFails: 2 })
      await through()
      const declined = { status: 'failed', error: { code: '402', message: 'card declined' } } satisfies CallOutcome<Charge>
      expect(seen).toEqual([declined, declined, declined])
      expect(await asked()).toEqual([[1, 402]])
    })

    test('that is not wanted is not made', async () => {
      const { through, seen } = await subject({ when: ({ number }) => number !== 1 })
      await through(someOrders(1, 2))
      expect(seen).toEqual([undefined, { id: 'ch_1', reference: 'k0-2' }])
      expect((await provider.ledger()).requests.map(({ reference }) => reference)).toEqual(['k0-2'])
    })

    test('that happened is not made again when apply fails: its answer is remembered', async () => {
      const { through, seen } = await subject({}, { applyFails: 3 })
      await through()
      const answer = { id: 'ch_1', reference: order.id }
      expect(seen).toEqual([answer, answer, answer, answer])
      expect(await asked()).toEqual([[1, 200]])
    })

    test('without an answer: its signal is aborted at timeoutMs, and the provider sees the client go', async () => {
      await plan('never')
      const { through } = await subject({ timeoutMs: 300 })
      await through()
      const [{ arrivedMs, endedMs = 0 } = { arrivedMs: 0 }] = (await provider.settled()).requests
      expect(endedMs - arrivedMs).toBeGreaterThan(250)
      expect(endedMs - arrivedMs).toBeLessThan(1_500)
    })

    test('answered twice: applied with the first answer', async () => {
      await plan('answer-twice')
      const { through, store, seen } = await subject()
      await through()
      expect(seen).toEqual([{ id: 'ch_1', reference: order.id }])
      expect(await store.effects()).toEqual([order.id])
    })
  })

  test('charges of different keys are made at the same time, never two of one key, and each key in order', async () => {
    // So long that the commits around a request are short beside it.
    await provider.change({ workMs: engine.name === 'sqlite' ? 40 : 600 })
    const { through, store } = await subject({ timeoutMs: 10_000 }, { concurrency: 8 })
    const orders = someOrders(16, 4)
    await through(orders)
    const { requests } = await provider.settled()
    const mostAtOnce = (some: typeof requests): number =>
      Math.max(
        ...some.map(({ arrivedMs: atMs }) => some.filter((one) => one.arrivedMs <= atMs && atMs < (one.endedMs ?? 0)).length),
      )
    const ofKeys = [...Map.groupBy(requests, ({ key }) => key)]
    console.log(`${requests.length} charges, up to ${mostAtOnce(requests)} at the same time`)
    expect(mostAtOnce(requests)).toBeGreaterThan(4)
    expect(mostAtOnce(requests)).toBeLessThanOrEqual(8)
    for (const [key, ofKey] of ofKeys) {
      expect(mostAtOnce(ofKey)).toBe(1)
      expect(ofKey.map(({ reference }) => reference)).toEqual([1, 2, 3, 4].map((number) => `${key}-${number}`))
    }
    expect((await store.effects()).toSorted()).toEqual(orders.map(({ id }) => id).toSorted())
  })
})
