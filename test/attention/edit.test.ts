import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import type { CallOutcome } from '../../src/index.ts'
import { CallFailed, CallUnknown, call, TerminalError, topic } from '../../src/index.ts'
import { unreliableBroker } from '../../src/testing/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { rejection, until } from '../support/until.ts'

const by = 'mia'
const Order = z.object({ id: z.string(), key: z.string(), amount: z.number().max(100) })
type Order = z.infer<typeof Order>
const orders = topic('orders', {
  schema: Order,
  partitions: 1,
  id: (order) => order.id,
  key: (order) => order.key,
  maxDataBytes: 200,
})

describeOnEngines('edit', (engine) => {
  /** Applies what has an amount of at most 10; its charge is made before. */
  async function subject(options: { readonly broker?: ReturnType<typeof unreliableBroker> } = {}) {
    const store = await engine.store()
    const charged: string[] = []
    const build = () => {
      const app = store.app(options)
      app.consume(orders, {
        group: 'ship',
        maxAttempts: 1,
        calls: {
          charge: call(
            (order: Order, { token }) => {
              charged.push(`${order.id} ${order.amount} ${token}`)
              if (order.amount === 99) throw new CallUnknown('no answer')
              return { charged: order.amount }
            },
            { whenUnknown: 'ask-person' },
          ),
        },
        apply: handler(function* ({ id, amount }: Order, { tx, calls }: Context<{ charge: { charged: number } }>) {
          if (amount > 10) throw new TerminalError(`${amount} is too much`)
          yield store.write(tx, 'insert into effect values (?, ?)', `${id} charged ${calls.charge.charged}`, amount)
        }),
      })
      return app
    }
    return { store, build, charged }
  }

  const order = (id: string, amount: number): Order => ({ id, key: 'k', amount })

  describe('edit and redrive', () => {
    test('the corrected message applies once, in its place; the call that happened is not repeated, and the preview said so', async () => {
      const { store, build, charged } = await subject()
      const app = build()
      await app.publish(orders, order('a', 11), { headers: { trace: 't1' } })
      await app.publish(orders, order('b', 1))
      await app.start()
      await app.idle()
      const [item] = await app.attention.list()
      const before = await app.attention.show(item!.id)
      expect(before.actions.edit).toMatchObject({ possible: true, calls: [{ call: 'charge', fate: 'stands' }] })
      expect(before.actions.edit.sentence).toMatch(/Call charge happened .* ago, with the data as it was, and is not made again/)
      expect(await app.attention.edit(item!.id, order('a', 5), { by, reason: 'a typo' })).toBe(true)
      expect(await app.attention.edit(item!.id, order('a', 6), { by: 'max' })).toBe(false)
      await app.idle()
      expect(await store.rows(`select id, value from effect order by ${store.inOrder}`)).toEqual([
        { id: 'a charged 11', value: 5 },
        { id: 'b charged 1', value: 1 },
      ])
      expect(charged.map((each) => each.slice(0, 4))).toEqual(['a 11', 'b 1 '])

      const shown = await app.attention.show(item!.id)
      expect(shown).toMatchObject({ state: 'redriven', by, envelope: { id: 'a', key: 'k', headers: { trace: 't1' } } })
      expect(shown.revisions).toMatchObject([
        {
          by,
          reason: 'a typo',
          before: '{"amount":11,"id":"a","key":"k"}',
          after: '{"amount":5,"id":"a","key":"k"}',
          changes: [{ path: 'amount', kind: 'changed', before: 11, after: 5 }],
        },
      ])
      expect(shown.audit).toMatchObject([{ action: 'edit', by, reason: 'a typo' }])
    })

    test('a late duplicate of the original is still known: while the edited message waits, and after it was applied', async () => {
      const { store, build } = await subject()
      const app = build()
      await app.publish(orders, order('a', 11))
      await app.start()
      await app.idle()
      const [item] = await app.attention.list()
      app.pause('ship')
      await app.attention.edit(item!.id, order('a', 5), { by })
      expect(await app.publish(orders, order('a', 11))).toMatchObject({ status: 'duplicate' })
      app.resume('ship')
      await app.idle()
      expect(await app.publish(orders, order('a', 11))).toMatchObject({ status: 'duplicate' })
      expect(await rejection(app.publish(orders, order('a', 5)))).toMatchObject({ code: 'ID_REUSED' })
      await app.idle()
      expect(await store.effects()).toEqual(['a charged 11'])
      expect(await app.attention.list()).toEqual([])
    })

    test('behind a broker that redelivers and duplicates: the original comes again and again, and is suppressed', async () => {
      const brokerStore = await engine.store('')
      const broker = unreliableBroker(inDatabaseBroker(brokerStore.database()), {
        seed: 5,
        duplicate: 0.9,
        redeliver: 0.9,
        forget: 0.9,
      })
      const { store, build, charged } = await subject({ broker })
      const app = build()
      await app.start()
      await app.publishMany(
        orders,
        Array.from({ length: 20 }, (_, number) => ({ data: { ...order(`bad${number}`, 11), key: `k${number}` } })),
      )
      await until(async () => (await app.attention.list()).length === 20, 'the dead letters', 8_000)
      for (const item of await app.attention.list()) {
        const data = JSON.parse(item.envelope.json) as Order
        expect(await app.attention.edit(item.id, { ...data, amount: 5 }, { by })).toBe(true)
      }
      // What comes later brings copies of what came before.
      await app.publishMany(
        orders,
        Array.from({ length: 60 }, (_, number) => ({ data: { ...order(`good${number}`, 1), key: `g${number}` } })),
      )
      await until(async () => (await store.effects()).length >= 80, 'all applied', 8_000)
      await until(() => broker.counts().redelivered > 5, 'copies after they were acknowledged', 8_000)
      await app.idle()
      expect(broker.counts().duplicated + broker.counts().redelivered).toBeGreaterThan(40)
      const effects = await store.effects()
      expect(effects).toHaveLength(80)
      expect(new Set(effects).size).toBe(80)
      expect(charged.filter((each) => each.startsWith('bad'))).toHaveLength(20)
      expect(await app.attention.list()).toEqual([])
    })

    test('a call settled as not having happened is made again, with the new data and a new token', async () => {
      const { store, build, charged } = await subject()
      const app = build()
      await app.publish(orders, order('a', 99))
      await app.start()
      await app.idle()
      const [unknown] = await app.attention.list()
      expect(unknown?.kind).toBe('unknown-outcome')
      expect(await rejection(app.attention.edit(unknown!.id, order('a', 5), { by }))).toMatchObject({ code: 'NOT_POSSIBLE' })
      // A dead letter keeps its place when its call is settled: only then can it be edited.
      await store.exec(`update ${store.table('attention')} set kind = 'dead-letter'`)
      expect(await app.attention.settle(unknown!.id, { as: 'did-not-happen' }, { by })).toBe(true)
      expect(await app.attention.settle(unknown!.id, { as: 'did-not-happen' }, { by })).toBe(false)
      const { actions } = await app.attention.show(unknown!.id)
      expect(actions.redrive).toMatchObject({ possible: true, calls: [{ fate: 'same-token' }] })
      expect(actions.edit).toMatchObject({ possible: true, calls: [{ fate: 'new-token' }] })
      expect(await app.attention.edit(unknown!.id, order('a', 5), { by })).toBe(true)
      await app.idle()
      expect(charged.map((each) => each.slice(0, 4))).toEqual(['a 99', 'a 5 '])
      expect(charged[0]!.slice(-32)).not.toBe(charged[1]!.slice(-32))
      expect(await store.effects()).toEqual(['a charged 5'])
    })

    test('a call that was refused and handed to apply is made again for the new data; for the old data it is not', async () => {
      const store = await engine.store()
      const app = store.app()
      const asked: number[] = []
      app.consume(orders, {
        group: 'pay',
        maxAttempts: 1,
        calls: {
          wire: call(
            ({ amount }: Order) => {
              asked.push(amount)
              if (amount > 10) throw new CallFailed('over the limit')
              return { wired: amount }
            },
            { whenFailed: 'apply' },
          ),
        },
        apply: handler(function* ({ id }: Order, { tx, calls }: Context<{ wire: CallOutcome<unknown> }>) {
          if (calls.wire.status === 'failed') throw new TerminalError('refused')
          yield store.write(tx, 'insert into effect values (?, 1)', id)
        }),
      })
      await app.publish(orders, order('a', 11))
      await app.start()
      await app.idle()
      const open = async () => (await app.attention.list())[0]!.id
      await app.attention.redrive(await open(), { by })
      await app.idle()
      expect(asked).toEqual([11])
      const { actions } = await app.attention.show(await open())
      expect(actions.redrive).toMatchObject({ sentence: expect.stringContaining('unless the consumer hands failures to apply') })
      expect(actions.edit).toMatchObject({
        sentence: expect.stringMatching(/wire failed .*; it is made again with a new token\./),
      })
      await app.attention.edit(await open(), order('a', 5), { by })
      await app.idle()
      expect(asked).toEqual([11, 5])
      expect(await store.effects()).toEqual(['a'])
    })

    test('data that does not fit the topic is refused with its path, its size, or because it says nothing new', async () => {
      const { build } = await subject()
      const app = build()
      await app.publish(orders, order('a', 11))
      await app.start()
      await app.idle()
      const [item] = await app.attention.list()
      const edit = (data: unknown) => rejection(app.attention.edit(item!.id, data, { by }))
      expect(await edit({ ...order('a', 5), amount: 101 })).toMatchObject({
        code: 'MESSAGE_INVALID',
        details: { field: 'amount' },
      })
      expect(await edit({ ...order('a', 5), at: 1n })).toMatchObject({ code: 'MESSAGE_INVALID' })
      expect(await edit({ ...order('a', 5), key: 'x'.repeat(200) })).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
      expect(await edit({ amount: 11, key: 'k', id: 'a' })).toMatchObject({
        code: 'NOT_POSSIBLE',
        details: { why: 'data-unchanged' },
      })
      expect(await app.attention.show(item!.id)).toMatchObject({ state: 'open', revisions: [], audit: [] })
    })

    test('an edited message that fails again comes back under another id, and knows its revisions', async () => {
      const { store, build } = await subject()
      const app = build()
      await app.publish(orders, order('a', 11))
      await app.start()
      await app.idle()
      const [first] = await app.attention.list()
      await app.attention.edit(first!.id, order('a', 12), { by })
      await app.idle()
      const [second] = await app.attention.list()
      expect(second).toMatchObject({ errorMessage: '12 is too much', envelope: { json: '{"amount":12,"id":"a","key":"k"}' } })
      expect(second!.id).not.toBe(first!.id)
      await app.attention.edit(second!.id, order('a', 10), { by: 'max' })
      await app.idle()
      expect(await store.effects()).toEqual(['a charged 11'])
      const revisions = (await app.attention.show(second!.id)).revisions.map(
        (revision) => `${revision.by}: ${revision.changes[0]?.path}`,
      )
      expect(revisions).toEqual(['mia: amount', 'max: amount'])
    })
  })
})
