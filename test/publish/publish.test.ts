import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { adoptTopic, PublishIncompleteError, topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { rejection, sleep } from '../support/until.ts'

const Payment = z.object({ id: z.string(), account: z.string(), amount: z.number().int() })
const payments = topic('payments', {
  partitions: 2,
  schema: Payment,
  id: (payment) => payment.id,
  key: (payment) => payment.account,
})
const loose = topic<unknown>('loose', { partitions: 1 })
const some = (count: number) => Array.from({ length: count }, (_, number) => ({ data: { number } }))

describeOnEngines('publish', (engine) => {
  const open = async (options = {}) => {
    const store = await engine.store('')
    return { store, app: store.app(options) }
  }

  describe('the receipt', () => {
    test('says accepted, and duplicate for a repeat, also from another app on the file and after a restart', async () => {
      const { store, app } = await open()
      const payment = { id: 'p1', account: 'a', amount: 5 }
      expect(await app.publish(payments, payment)).toEqual({ status: 'accepted', id: 'p1', source: 'payments' })
      expect(await app.publish(payments, payment)).toEqual({ status: 'duplicate', id: 'p1', source: 'payments' })
      expect((await store.app().publish(payments, payment)).status).toBe('duplicate')
      await app.stop()
      expect((await store.app().publish(payments, payment)).status).toBe('duplicate')
      expect(await store.column(`select count(*) from ${store.log}`)).toEqual([1])
      expect((await store.app().status()).topics).toMatchObject([{ accepted: 1, duplicates: 3, messages: 1 }])
    })

    test('the message is in the database, as plain SQL, when the receipt is given', async () => {
      const { store, app } = await open({ source: 'shop' })
      await app.publish(payments, { id: 'p1', account: 'a', amount: 5 }, { type: 'paid', headers: { trace: 't' } })
      expect(await store.rows(`select topic, source, id, key, type, headers, data from ${store.log}`)).toEqual([
        {
          topic: 'payments',
          source: 'shop',
          id: 'p1',
          key: 'a',
          type: 'paid',
          headers: '{"trace":"t"}',
          data: '{"account":"a","amount":5,"id":"p1"}',
        },
      ])
    })
  })

  describe('identity', () => {
    test('comes from the option, else the topic, else the sequence, else it is a fresh UUID', async () => {
      const { app } = await open()
      const payment = { id: 'p1', account: 'a', amount: 5 }
      expect((await app.publish(payments, payment, { id: 'mine' })).id).toBe('mine')
      expect((await app.publish(payments, payment)).id).toBe('p1')
      expect((await app.publish(loose, {}, { sequence: 7n })).id).toBe('7')
      const minted = await Promise.all([app.publish(loose, {}), app.publish(loose, {})])
      for (const { id, status } of minted) {
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        expect(status).toBe('accepted')
      }
      expect(minted[0]!.id < minted[1]!.id).toBe(true)
    })

    test('is per topic and source: the same id from another source or on another topic is another message', async () => {
      const { store, app } = await open()
      const other = store.app({ source: 'other' })
      const payment = { id: 'p1', account: 'a', amount: 5 }
      expect((await app.publish(payments, payment)).status).toBe('accepted')
      expect((await other.publish(payments, payment)).status).toBe('accepted')
      expect((await app.publish(loose, payment, { id: 'p1' })).status).toBe('accepted')
    })

    test('with another body is refused with ID_REUSED, which carries the id; what was stored stays', async () => {
      const { store, app } = await open()
      await app.publish(payments, { id: 'p1', account: 'a', amount: 5 })
      expect(await rejection(app.publish(payments, { id: 'p1', account: 'a', amount: 6 }))).toMatchObject({
        code: 'ID_REUSED',
        outcome: 'not-applied',
        retry: 'never',
        details: { id: 'p1', topic: 'payments', source: 'payments' },
      })
      expect(await store.column(`select data from ${store.log}`)).toEqual(['{"account":"a","amount":5,"id":"p1"}'])
    })

    test('the order of keys, undefined properties and the form of a number make no other body', async () => {
      const { app } = await open()
      expect((await app.publish(loose, { a: 1, b: [1.0, { c: -0 }] }, { id: 'x' })).status).toBe('accepted')
      expect((await app.publish(loose, { b: [1, { c: 0, d: undefined }], a: 1 }, { id: 'x' })).status).toBe('duplicate')
      expect(await rejection(app.publish(loose, { a: 1, b: [1, { c: 1 }] }, { id: 'x' }))).toMatchObject({ code: 'ID_REUSED' })
    })

    test("idReuse 'ignore': a repeat with another body is a duplicate", async () => {
      const { store, app } = await open()
      const hooks = topic<{ try: number }>('hooks', { partitions: 1, idReuse: 'ignore' })
      expect((await app.publish(hooks, { try: 1 }, { id: 'h' })).status).toBe('accepted')
      expect((await app.publish(hooks, { try: 2 }, { id: 'h' })).status).toBe('duplicate')
      expect(await store.column(`select data from ${store.log}`)).toEqual(['{"try":1}'])
    })

    test('headers, type and key are no part of the body', async () => {
      const { app } = await open()
      await app.publish(loose, 1, { id: 'x', headers: { a: '1' }, type: 't', key: 'k' })
      expect((await app.publish(loose, 1, { id: 'x', headers: { a: '2' }, type: 'u', key: 'l' })).status).toBe('duplicate')
    })

    test('a thousand repeats at the same time: one is accepted', async () => {
      const { store, app } = await open()
      const other = store.app()
      const receipts = await Promise.all(
        Array.from({ length: 1_000 }, (_, number) =>
          (number % 2 === 0 ? app : other).publish(payments, { id: 'same', account: 'a', amount: 1 }),
        ),
      )
      expect(receipts.filter((receipt) => receipt.status === 'accepted')).toHaveLength(1)
      expect(await store.column(`select count(*) from ${store.log}`)).toEqual([1])
    })
  })

  describe('what is refused', () => {
    test('data that does not fit a schema, with the path and the id it was given', async () => {
      const { store, app } = await open()
      const error = await rejection(app.publish(payments, { id: 'p1', account: 'a', amount: 1.5 }, { id: 'mine' }))
      expect(error).toMatchObject({
        code: 'MESSAGE_INVALID',
        outcome: 'not-applied',
        details: { topic: 'payments', field: 'amount', id: 'mine' },
      })
      await app.publish(loose, 1)
      expect(await store.column(`select count(*) from ${store.log}`)).toEqual([1])
    })

    test('an asynchronous schema is awaited, accepts and refuses; its output makes id and key, its input is stored', async () => {
      const { store, app } = await open()
      const checked = topic('checked', {
        partitions: 1,
        schema: {
          '~standard': {
            version: 1 as const,
            vendor: 'hand-written',
            validate: async (value: unknown) => {
              await sleep(2)
              const { name } = value as { name: string }
              return name === ''
                ? { issues: [{ message: 'is empty', path: [{ key: 'name' }] }] }
                : { value: { slug: name.toLowerCase() } }
            },
            types: undefined as unknown as { input: { name: string }; output: { slug: string } },
          },
        },
        id: (data: { slug: string }) => data.slug,
      })
      expect(await app.publish(checked, { name: 'Ada' })).toMatchObject({ status: 'accepted', id: 'ada' })
      expect(await rejection(app.publish(checked, { name: '' }))).toMatchObject({
        code: 'MESSAGE_INVALID',
        details: { field: 'name' },
      })
      expect(await store.column(`select data from ${store.log}`)).toEqual(['{"name":"Ada"}'])
    })

    test('messages keep the order of the calls, whatever one of them has to wait for', async () => {
      const { store, app } = await open()
      const slow = topic('slow', {
        partitions: 1,
        schema: {
          '~standard': {
            version: 1 as const,
            vendor: 'hand-written',
            validate: (value: unknown) => ((value as number) % 3 === 0 ? sleep(5).then(() => ({ value })) : { value }),
          },
        },
      })
      await Promise.all(Array.from({ length: 12 }, (_, number) => app.publish(slow, number)))
      expect(await store.column(`select data from ${store.log} order by place`)).toEqual(
        Array.from({ length: 12 }, (_, number) => `${number}`),
      )
    })

    test.each([
      ['undefined', undefined],
      ['a function', () => 1],
      ['bigint', { a: 1n }],
      ['NaN', { a: [Number.NaN] }],
      ['a Map', { a: new Map() }],
      ['bytes', Buffer.from('x')],
    ])('what JSON cannot carry: %s', async (_, data) => {
      const { app } = await open()
      expect(await rejection(app.publish(loose, data))).toMatchObject({ code: 'MESSAGE_INVALID', outcome: 'not-applied' })
    })

    const invalid: [string, object][] = [
      ['id', { id: '' }],
      ['id', { id: 'x'.repeat(513) }],
      ['id', { id: 'a\u0000b' }],
      ['id', { id: 'half \ud800' }],
      ['id', { id: 7 }],
      ['key', { key: '' }],
      ['key', { key: 'line\nfeed' }],
      ['type', { type: 'x'.repeat(257) }],
      ['sequence', { sequence: -1n }],
      ['sequence', { sequence: 2n ** 63n }],
      ['sequence', { sequence: 7 }],
      ['headers', { headers: { 'white space': 'x' } }],
      ['headers.a', { headers: { a: 7 } }],
      ['headers.a', { headers: { a: 'x'.repeat(8_193) } }],
      ['headers', { headers: Object.fromEntries(Array.from({ length: 65 }, (_, number) => [`h${number}`, 'x'])) }],
      ['deliverAt', { deliverAt: new Date(Number.NaN) }],
      ['deliverAt', { deliverAt: new Date(Date.now() + 20 * 366 * 86_400_000) }],
      ['deliverAt', { deliverAt: 5 }],
    ]
    test.each(invalid)('%s: %o', async (field, options) => {
      const { app } = await open()
      expect(await rejection(app.publish(loose, 1, options as never))).toMatchObject({
        code: 'MESSAGE_INVALID',
        details: { field },
      })
    })

    test('the bounds themselves are taken: a long id and key, an empty header, the last sequence', async () => {
      const { store, app } = await open()
      const id = 'é'.repeat(512)
      await app.publish(loose, 1, {
        id,
        key: 'k'.repeat(512),
        type: 't'.repeat(256),
        headers: { empty: '', long: 'x'.repeat(8_192) },
      })
      await app.publish(loose, 1, { sequence: 2n ** 63n - 1n })
      expect(await store.column(`select id from ${store.log} order by place`)).toEqual([id, `${2n ** 63n - 1n}`])
    })

    test('a message over maxDataBytes, counted in UTF-8; one that just fits is taken', async () => {
      const { app } = await open()
      const small = topic<string>('small', { partitions: 1, maxDataBytes: 20 })
      expect((await app.publish(small, 'é'.repeat(9))).status).toBe('accepted')
      expect(await rejection(app.publish(small, 'é'.repeat(10), { id: 'big' }))).toMatchObject({
        code: 'MESSAGE_TOO_LARGE',
        details: { id: 'big', bytes: 22, maxDataBytes: 20 },
      })
    })
  })

  describe('a bounded queue', () => {
    test('what does not fit is refused at once with its id, what was taken is published, and then there is room again', async () => {
      const { store, app } = await open({ maxQueuedMessages: 10 })
      const settled = await Promise.allSettled(
        Array.from({ length: 15 }, (_, number) => app.publish(loose, number, { id: `${number}` })),
      )
      expect(settled.map((each) => each.status)).toEqual([...Array(10).fill('fulfilled'), ...Array(5).fill('rejected')])
      expect((settled[10] as PromiseRejectedResult).reason).toMatchObject({
        code: 'QUEUE_FULL',
        outcome: 'not-applied',
        retry: 'later',
        details: { id: '10' },
      })
      expect(await store.column(`select count(*) from ${store.log}`)).toEqual([10])
      expect((await app.publish(loose, 10, { id: '10' })).status).toBe('accepted')
    })

    test('bytes are bounded too', async () => {
      const { app } = await open({ maxQueuedBytes: 3_000 })
      const settled = await Promise.allSettled(Array.from({ length: 4 }, () => app.publish(loose, 'x'.repeat(1_000))))
      expect(settled.map((each) => each.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    })
  })

  describe('publishMany', () => {
    test('keeps the order and answers for each', async () => {
      const { store, app } = await open()
      const items = Array.from({ length: 2_500 }, (_, number) => ({ data: number, id: `${number % 2_400}` }))
      const wanted = items.map(({ id }, index) => ({ id, source: 'loose', status: index < 2_400 ? 'accepted' : 'duplicate' }))
      await app.publish(loose, 0, { id: '0' })
      const error = (await rejection(app.publishMany(loose, items))) as unknown as PublishIncompleteError
      expect(error.results.slice(1, 2_400)).toEqual(wanted.slice(1, 2_400))
      expect(error.results[0]).toMatchObject({ status: 'duplicate' })
      expect(await store.column(`select data from ${store.log} order by place`)).toEqual(
        Array.from({ length: 2_400 }, (_, number) => `${number}`),
      )
    })

    test('some refused: PublishIncompleteError tells of each, and the others are published', async () => {
      const { store, app } = await open()
      await app.publish(loose, 'first', { id: 'taken' })
      const error = await rejection(
        app.publishMany(loose, [
          { data: 1, id: 'a' },
          { data: 2, id: 'taken' },
          { data: 3n as never },
          { data: 4, id: 'b', key: '' },
          { data: 1, id: 'a' },
        ]),
      )
      expect(error).toBeInstanceOf(PublishIncompleteError)
      expect(error).toMatchObject({ code: 'PUBLISH_INCOMPLETE', outcome: 'applied', details: { published: 2, refused: 3 } })
      expect(error.results).toMatchObject([
        { status: 'accepted', id: 'a' },
        { code: 'ID_REUSED', details: { id: 'taken' } },
        { code: 'MESSAGE_INVALID' },
        { code: 'MESSAGE_INVALID' },
        { status: 'duplicate', id: 'a' },
      ])
      expect(await store.column(`select count(*) from ${store.log}`)).toEqual([2])
    })

    test('nothing to publish is nothing done', async () => {
      const { app } = await open()
      expect(await app.publishMany(loose, [])).toEqual([])
    })
  })

  describe('AbortSignal', () => {
    test('aborted before: nothing is published', async () => {
      const { store, app } = await open()
      expect(await rejection(app.publish(loose, 1, { signal: AbortSignal.abort('enough') }))).toMatchObject({
        code: 'ABORTED',
        outcome: 'not-applied',
      })
      await app.publish(loose, 2)
      expect(await store.column(`select data from ${store.log}`)).toEqual(['2'])
    })

    test('aborted while it waits: the outcome is unknown, and a repeat with the id the error carries is harmless', async () => {
      const { store, app } = await open()
      const controller = new AbortController()
      const publishing = rejection(app.publish(loose, 1, { signal: controller.signal }))
      controller.abort()
      const error = await publishing
      expect(error).toMatchObject({ code: 'ABORTED', outcome: 'unknown', details: { id: expect.any(String) } })
      await app.publish(loose, 1, { id: (error.details as { id: string }).id })
      expect(await store.column(`select count(*) from ${store.log}`)).toEqual([1])
    })

    test('publishMany aborted on the way tells of each what became of it', async () => {
      const { store, app } = await open()
      const controller = new AbortController()
      const all = app.publishMany(loose, some(3_000), { signal: controller.signal })
      setTimeout(() => controller.abort(), 0)
      const error = (await rejection(all)) as unknown as PublishIncompleteError
      expect(error).toMatchObject({ code: 'PUBLISH_INCOMPLETE' })
      expect(error.results).toHaveLength(3_000)
      const accepted = error.results.filter((result) => 'status' in result).length
      await app.stop()
      expect((await store.column<number>(`select count(*) from ${store.log}`))[0]).toBeGreaterThanOrEqual(accepted)
    })
  })

  test('publishing works without start(), on a topic that is known by name only', async () => {
    const { store, app } = await open()
    expect((await app.publish(adoptTopic('anything'), { x: 1 })).status).toBe('accepted')
    expect(await store.column(`select count(*) from ${store.table('owner')}`)).toEqual([0])
  })
})

test('the error of a file that cannot be opened carries the id to repeat with', async () => {
  const file = new TemporaryFile('', '/no/such/folder/app.db')
  const error = await rejection(file.app().publish(loose, 1))
  expect(error).toMatchObject({ code: 'DATABASE_IO', details: { id: expect.any(String), topic: 'loose' } })
})

test('the view onefold_message shows what is published, with its offset and its type', async () => {
  const file = new TemporaryFile('')
  await file.app().publish(loose, 1, { id: 'p1' })
  expect(file.rows('select topic, partition, "offset", id, type, data from onefold_message')).toEqual([
    { topic: 'loose', partition: 0, offset: 1, id: 'p1', type: 'loose', data: '1' },
  ])
})
