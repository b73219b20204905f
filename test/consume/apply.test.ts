import { describe, expect, test } from 'vitest'
import { isOnefoldError, topic } from '../../src/index.ts'
import type { Context, EngineTx } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { rejection, sleep, until } from '../support/until.ts'

interface Order {
  readonly id: string
  readonly account: string
}

const orders = topic<Order>('orders', { partitions: 4, id: (order) => order.id, key: (order) => order.account })
const one = topic<Order>('orders', { partitions: 1, id: (order) => order.id, key: (order) => order.account })
const echoes = topic<{ of: string }>('echoes', { partitions: 1, id: (echo) => echo.of })

const some = (count: number, accounts: number): Order[] =>
  Array.from({ length: count }, (_, number) => ({ id: `${number}`, account: `a${number % accounts}` }))

const many = (all: readonly Order[]) => all.map((data) => ({ data }))

describeOnEngines('apply', (engine) => {
  describe('apply', () => {
    test('messages of a key are applied in the order they were published, each once, over several partitions', async () => {
      const store = await engine.store('create table effect (id text, account text)')
      const app = store.app()
      app.consume(orders, 'g', ({ id, account }, { tx }) => store.write(tx, 'insert into effect values (?, ?)', id, account))
      await app.start()
      const all = some(600, 13)
      await app.publishMany(orders, many(all))
      await app.publishMany(orders, many(all.slice(0, 50)))
      await app.idle()
      for (let account = 0; account < 13; account++) {
        const name = `a${account}`
        expect(await store.column(`select id from effect where account = ? order by ${store.inOrder}`, name)).toEqual(
          all.filter((order) => order.account === name).map((order) => order.id),
        )
      }
      expect((await app.status()).groups).toMatchObject([{ applied: 600, lag: 0, parked: 0, attention: 0 }])
    })

    test('the context tells of the message, and an asynchronous handler is awaited', async () => {
      const store = await engine.store()
      const app = store.app({ source: 'shop' })
      const seen: unknown[] = []
      app.consume(one, 'g', async (data, { message, attempt, tx, signal }) => {
        await sleep(1)
        seen.push({ data, message, attempt, aborted: signal.aborted })
        await store.write(tx, 'insert into effect values (?, 1)', data.id)
      })
      await app.start()
      await app.publish(one, { id: 'x', account: 'k' }, { type: 'placed', headers: { trace: 't1' } })
      await app.idle()
      expect(seen).toEqual([
        {
          data: { id: 'x', account: 'k' },
          attempt: 1,
          aborted: false,
          message: {
            id: 'x',
            source: 'shop',
            key: 'k',
            type: 'placed',
            time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
            headers: { trace: 't1' },
            data: { id: 'x', account: 'k' },
          },
        },
      ])
      expect(await store.effects()).toEqual(['x'])
    })

    test('effect, checkpoint and what is published are one commit: another connection never sees one without the others', async () => {
      const store = await engine.store()
      const app = store.app()
      app.consume(one, {
        group: 'g',
        batchSize: 7,
        apply: async ({ id }, { tx, publish }) => {
          await store.write(tx, 'insert into effect values (?, 1)', id)
          if (Number(id) % 5 === 0) await sleep(0)
          publish(echoes, { of: id })
        },
      })
      await app.publishMany(one, many(some(200, 3)))
      await app.start()
      const seen = new Set<number>()
      await until(async () => {
        const [row] = await store.rows<{ effects: number; echoes: number; checkpoint: number }>(
          `select (select count(*) from effect) as effects, (select count(*) from ${store.log} where topic = 'echoes') as echoes,
           (select coalesce(sum("offset"), 0) from ${store.table('checkpoint')}) as checkpoint`,
        )
        expect(row).toEqual({ effects: row?.effects, echoes: row?.effects, checkpoint: row?.effects })
        seen.add(row?.effects ?? 0)
        return row?.effects === 200
      }, 'all applied')
      expect(seen.size).toBeGreaterThan(2)
    })

    test.each([
      ['a synchronous', false],
      ['an asynchronous', true],
    ])(
      '%s handler that throws: what it wrote and published is undone, its neighbours keep attempt 1',
      async (_, asynchronous) => {
        const store = await engine.store()
        const app = store.app()
        const attempts: string[] = []
        const body = handler(function* ({ id }: Order, tx: EngineTx, attempt: number, publish: (id: string) => void) {
          attempts.push(`${id}@${attempt}`)
          yield store.write(tx, 'insert into effect values (?, ?)', id, attempt)
          publish(id)
          if (id === '2' && attempt === 1) throw new Error('not yet')
        })
        app.consume(one, {
          group: 'g',
          apply: asynchronous
            ? async (order, { tx, attempt, publish }) => {
                await sleep(0)
                await body(order, tx, attempt, (of) => publish(echoes, { of }))
              }
            : (order, { tx, attempt, publish }) => body(order, tx, attempt, (of) => publish(echoes, { of })),
        })
        await app.publishMany(one, many(some(5, 5)))
        await app.start()
        await app.idle()
        expect(attempts).toEqual(['0@1', '1@1', '2@1', '2@2', '3@1', '4@1'])
        expect(await store.rows('select id, value from effect')).toEqual(
          ['0', '1', '2', '3', '4'].map((id) => ({ id, value: id === '2' ? 2 : 1 })),
        )
        expect(await store.published('echoes')).toEqual(['0', '1', '2', '3', '4'])
      },
    )

    test('one of a large batch that fails once is undone and attempted again; it and all its neighbours take effect once', async () => {
      const store = await engine.store()
      const app = store.app()
      const failed: string[] = []
      app.consume(one, {
        group: 'g',
        apply: handler(function* ({ id }: Order, { tx, attempt, publish }: Context) {
          yield store.write(tx, 'insert into effect values (?, ?)', id, attempt)
          publish(echoes, { of: id })
          if (Number(id) % 40 === 7 && attempt === 1) {
            if (!failed.includes(id)) failed.push(id)
            throw new Error('not yet')
          }
        }),
      })
      await app.publishMany(one, many(some(120, 7)))
      await app.start()
      await app.idle()
      const ids = some(120, 7).map(({ id }) => id)
      expect(await store.effects()).toEqual(ids)
      expect(await store.published('echoes')).toEqual(ids)
      expect(failed).toEqual(['7', '47', '87'])
      expect(await store.column('select id from effect where value = 2')).toEqual(failed)
    })

    test('what publish refuses inside a handler is an error of that handler, and nothing of it is written', async () => {
      const store = await engine.store()
      const app = store.app()
      app.consume(one, {
        group: 'g',
        maxAttempts: 1,
        apply: handler(function* ({ id }: Order, { tx, publish }: Context) {
          yield store.write(tx, 'insert into effect values (?, 1)', id)
          publish(echoes, { of: 'same' }, { id: 'same', headers: { by: 'headers are no part of the body' } })
          publish(echoes, { of: `body ${id}` }, { id: 'other' })
        }),
      })
      await app.publishMany(one, many(some(3, 3)))
      await app.start()
      await app.idle()
      expect(await store.effects()).toEqual(['0'])
      const items = await app.attention.list()
      expect(items.map((item) => [item.envelope.id, item.errorMessage.includes('published before with other data')])).toEqual([
        ['1', true],
        ['2', true],
      ])
      expect(await store.published('echoes')).toEqual(['same', 'other'])
    })
  })

  describe('tx after its handler', () => {
    test('a write whose await was forgotten throws TX_CLOSED and writes nothing, neither now nor in the next transaction', async () => {
      const store = await engine.store()
      const app = store.app()
      const late: Promise<unknown>[] = []
      app.consume(one, 'g', async ({ id }, { tx, publish }) => {
        await store.write(tx, 'insert into effect values (?, 1)', id)
        const forgotten = async (): Promise<void> => {
          for (let turn = 0; turn < 5; turn++) await sleep(0)
          await store.write(tx, 'insert into effect values (?, 2)', `${id} late`)
        }
        const forgottenPublish = async (): Promise<void> => {
          for (let turn = 0; turn < 5; turn++) await sleep(0)
          publish(echoes, { of: `${id} late` })
        }
        if (id === '0') late.push(rejection(forgotten()), rejection(forgottenPublish()))
        else await Promise.all(late)
      })
      await app.publishMany(
        one,
        many([
          { id: '0', account: 'a' },
          { id: '1', account: 'a' },
        ]),
      )
      await app.start()
      await app.idle()
      const errors = (await Promise.all(late)) as { code: string }[]
      expect(errors.map((error) => error.code)).toEqual(['TX_CLOSED', 'TX_CLOSED'])
      expect(await store.effects()).not.toContain('0 late')
      expect(await store.published('echoes')).not.toContain('0 late')
    })
  })

  describe('publishing beside the context', () => {
    test.each([
      ['a synchronous', false],
      ['an asynchronous', true],
    ])('app.publish and app.transaction inside %s handler fail at once and name the way', async (_, asynchronous) => {
      const store = await engine.store()
      const app = store.app()
      const errors: unknown[] = []
      const attempt = (): Promise<unknown>[] => [
        app.publish(echoes, { of: 'x' }),
        app.publishMany(echoes, [{ data: { of: 'y' } }]),
        app.transaction(() => undefined),
      ]
      const collect = (all: Promise<unknown>[]): Promise<unknown> =>
        Promise.all(all.map(async (each) => errors.push(await rejection(each))))
      app.consume(
        one,
        'g',
        asynchronous
          ? async () => {
              await sleep(1)
              await collect(attempt())
            }
          : () => void collect(attempt()),
      )
      await app.publish(one, { id: '0', account: 'a' })
      await app.start()
      await app.idle()
      await until(() => errors.length === 3, 'three errors')
      for (const error of errors) {
        expect(isOnefoldError(error, 'PUBLISH_INSIDE_APPLY')).toBe(true)
        expect((error as Error).message).toMatch(/context's publish/)
      }
      expect(await store.published('echoes')).toEqual([])
    })

    test('app.publish with the { tx } of the context joins its transaction', async () => {
      const store = await engine.store()
      const app = store.app()
      let attempts = 0
      app.consume(one, 'g', async (_order, { tx }) => {
        const receipt = await app.publish(echoes, { of: `attempt ${++attempts}` }, { tx })
        expect(receipt.status).toBe('staged')
        if (attempts === 1) throw new Error('once')
      })
      await app.publish(one, { id: '0', account: 'a' })
      await app.start()
      await app.idle()
      expect(await store.published('echoes')).toEqual(['attempt 2'])
    })

    test('app.publish from unrelated code while an asynchronous apply is running succeeds, where there is one writer after waiting for it', async () => {
      const store = await engine.store()
      const app = store.app()
      let running = false
      let release: () => void = () => undefined
      app.consume(one, 'g', async () => {
        running = true
        await new Promise<void>((resolve) => {
          release = resolve
        })
      })
      await app.publish(one, { id: '0', account: 'a' })
      await app.start()
      await until(() => running, 'the handler')
      let settled = false
      const publishing = app.publish(echoes, { of: 'from outside' }).finally(() => {
        settled = true
      })
      // SQLite has one writer at a time.
      if (engine.name === 'sqlite') {
        await sleep(50)
        expect(settled).toBe(false)
      } else await until(() => settled, 'the message to be published')
      release()
      expect((await publishing).status).toBe('accepted')
    })

    test('what a handler left running may publish once the transaction is over', async () => {
      const store = await engine.store()
      const app = store.app()
      let later: Promise<unknown> | undefined
      app.consume(one, 'g', async () => {
        later = (async () => {
          await sleep(60)
          return app.publish(echoes, { of: 'afterwards' })
        })()
        await sleep(1)
      })
      await app.publish(one, { id: '0', account: 'a' })
      await app.start()
      await app.idle()
      expect(await later).toMatchObject({ status: 'accepted' })
    })
  })

  describe('transactionTimeoutMs', () => {
    test('a handler that never ends is rolled back, its tx revoked, its signal aborted, and the attempt counts', async () => {
      const store = await engine.store()
      const app = store.app()
      const attempts: number[] = []
      const signals: AbortSignal[] = []
      let stuck: EngineTx | undefined
      app.consume(one, {
        group: 'g',
        transactionTimeoutMs: 400,
        maxAttempts: 1,
        apply: async ({ id }, { tx, attempt, signal }) => {
          await store.write(tx, 'insert into effect values (?, 1)', id)
          if (id !== '1') return
          attempts.push(attempt)
          signals.push(signal)
          stuck = tx
          await new Promise(() => undefined)
        },
      })
      await app.publishMany(one, many(some(3, 3)))
      await app.start()
      await app.idle()
      expect(await store.effects()).toEqual(['0', '2'])
      expect(attempts).toEqual([1])
      expect(signals[0]?.aborted).toBe(true)
      const late = async () => store.write(stuck!, "insert into effect values ('late', 1)")
      expect(await rejection(late())).toMatchObject({ code: 'TX_CLOSED' })
      expect(await app.attention.list()).toMatchObject([
        { envelope: { id: '1' }, attempts: 1, errorMessage: expect.stringContaining('transactionTimeoutMs (400 ms)') },
      ])
    })
  })
})
