import { describe, expect, test } from 'vitest'
import { renderStatus } from '../../src/cli/render-status.ts'
import { topic } from '../../src/index.ts'
import { outboxNumberOf } from '../../src/outbox-number.ts'
import { partitionOf } from '../../src/partition-of.ts'
import type { Point } from '../../src/points.ts'
import type { Runtime } from '../../src/runtime.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Store } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { never, notNow, QueueBroker } from '../support/queue-broker.ts'
import { until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly key?: string
}
const notes = topic<Note>('t', { partitions: 4, id: (note) => note.id, key: (note) => note.key ?? note.id })

const at = (reached: (point: Point) => void | Promise<void>): Runtime => ({ ...nodeRuntime(), reached })
/** Once its relay has come there it does nothing any more. */
function deadAt(end: Point): Runtime {
  let dead = false
  return at((point) => {
    dead ||= point === end
    if (dead && point.startsWith('relay:')) throw new Error(`dead at ${end}`)
  })
}

/** In one commit, by a program that sends nothing itself. */
async function leave(store: Store, broker: QueueBroker, ...left: readonly Note[]): Promise<void> {
  const app = store.app({ broker })
  await app.transaction(({ publish }) => {
    for (const note of left) publish(notes, note)
  })
  await app.stop()
}

/** One life of a program that sends what is there. */
async function sends(store: Store, broker: QueueBroker, runtime: Runtime = nodeRuntime()): Promise<void> {
  const app = store.app({ broker, runtime })
  await app.start()
  await app.idle()
  await app.stop()
}

const incarnation = async (store: Store): Promise<string> =>
  (await store.column<string>(`select value from ${store.table('meta')} where name = 'incarnation'`))[0] as string

describeOnEngines('relay', (engine) => {
  const newStore = () => engine.store('create table effect (id text, value integer)')

  describe('numbers', () => {
    test('are dense in each series, over many batches and processes, in the order of the outbox; a series is incarnation, topic and partition', async () => {
      const store = await newStore()
      const broker = new QueueBroker({ 'keeps order when it refuses': true })
      const all = Array.from({ length: 1_300 }, (_, n): Note => ({ id: `n${n}`, key: `k${n % 9}` }))
      for (const life of [0, 1, 2]) {
        await leave(store, broker, ...all.filter((_, n) => n % 3 === life))
        await sends(store, broker)
      }
      expect(broker.taken.map(({ id }) => id).toSorted()).toEqual(all.map(({ id }) => id).toSorted())
      const name = await incarnation(store)
      const series = Map.groupBy(broker.taken, (one) => outboxNumberOf(one)?.series)
      expect(series.size).toBeGreaterThan(2)
      for (const [of, sent] of series) {
        expect(sent.map((one) => Number(outboxNumberOf(one)?.number))).toEqual(sent.map((_, index) => index + 1))
        expect(new Set(sent.map(({ key }) => `/t/${partitionOf(key as string, 4)}`))).toEqual(new Set([of?.slice(-4)]))
        expect(of?.startsWith(name)).toBe(true)
      }
      expect(await store.column(`select count(*) from ${store.table('outbox')}`)).toEqual([0])
    })

    test('cost one commit for the first rows, and then none: those that follow are numbered in the commit that removes the ones before', async () => {
      const store = await newStore()
      const broker = new QueueBroker({ 'keeps order when it refuses': true })
      await leave(store, broker, ...Array.from({ length: 1_200 }, (_, n): Note => ({ id: `n${n}` })))
      const points: Point[] = []
      await sends(
        store,
        broker,
        at((point) => void points.push(point)),
      )
      expect(broker.calls.map(({ length }) => length)).toEqual([500, 500, 200])
      const of = points.filter((point) => point.startsWith('relay:') && point !== 'relay:read')
      expect(of).toEqual(['relay:numbered', ...Array(3).fill(['relay:sent', 'relay:removed']).flat()])
    })

    test('a producer’s own message may not have headers that begin with onefold-, in any case of letters', async () => {
      const app = (await newStore()).app({ broker: new QueueBroker() })
      for (const header of ['onefold-outbox', 'Onefold-Outbox-Sequence', 'onefold-schedule']) {
        const refused = { code: 'MESSAGE_INVALID', details: { field: `headers.${header}` } }
        await expect(app.publish(notes, { id: 'a' }, { headers: { [header]: '1' } })).rejects.toMatchObject(refused)
        await expect(
          app.transaction(({ publish }) => publish(notes, { id: 'a' }, { headers: { [header]: '1' } })),
        ).rejects.toMatchObject(refused)
      }
    })

    test('a handler sees the message’s own headers, and can pass them on', async () => {
      const store = await newStore()
      const broker = new QueueBroker()
      const seen: unknown[] = []
      const app = store.app({ broker })
      app.consume(notes, 'g', ({ id }, { message, publish }) => {
        seen.push(message.headers)
        if (id === 'a') publish(notes, { id: 'b' }, { headers: message.headers })
      })
      await app.start()
      await app.transaction(({ publish }) => publish(notes, { id: 'a' }, { headers: { tenant: 'x' } }))
      await until(() => seen.length === 2, 'both')
      expect(seen).toEqual([{ tenant: 'x' }, { tenant: 'x' }])
      expect(broker.taken.map(({ headers }) => Object.keys(headers).length)).toEqual([3, 3])
    })
  })

  describe('a process that dies', () => {
    test.each(['relay:read', 'relay:numbered', 'relay:sent', 'relay:removed'] as const)(
      'at %s: every row is sent, and whatever is sent again has the number it had',
      async (point) => {
        const store = await newStore()
        const broker = new QueueBroker()
        await leave(store, broker, { id: 'a' }, { id: 'b', key: 'a' }, { id: 'c' })
        const dying = store.app({ broker, runtime: deadAt(point) })
        await dying.start()
        await until(() => store.events.some(({ message }) => message.includes('dead')), 'it is dead')
        await dying.stop()
        await leave(store, broker, { id: 'd', key: 'a' })
        await sends(store, broker)
        const numbers = new Map(broker.numbers().map(([id, number]) => [id, number]))
        expect([...numbers.keys()].toSorted()).toEqual(['a', 'b', 'c', 'd'])
        for (const [id, number] of broker.numbers()) expect(number).toEqual(numbers.get(id))
        expect(['a', 'b', 'd'].map((id) => numbers.get(id)?.number)).toEqual([1n, 2n, 3n])
        if (point === 'relay:sent') expect(broker.taken.length).toBeGreaterThan(4)
      },
    )

    test('a zombie that looked before another took its place is fenced when it numbers: it has numbered nothing, and sent nothing', async () => {
      const store = await newStore()
      const broker = new QueueBroker()
      await leave(store, broker, { id: 'a' })
      const [frozen, wake] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const zombie = store.app({
        broker,
        leaseMs: 1_000,
        runtime: at(async (point) => {
          if (point !== 'relay:read') return
          frozen.resolve()
          await wake.promise
        }),
      })
      await zombie.start()
      await frozen.promise
      const other = store.database()
      await other.open({ runtime: nodeRuntime(), dedupWindow: { ms: 1e9, maxIds: 1_000 } })
      const nowMs = Date.now()
      const process = { pid: 1, host: 'elsewhere', startedAt: 'then' }
      const times = { nowMs, untilMs: nowMs + 60_000, gone: [], force: true }
      const what = { what: 'test' }
      const owner = await other.write((session) => session.ownership.enroll(process, times), what)
      const lease = await other.write((session) => session.ownership.take('relay', owner, times), what)
      wake.resolve()
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(broker.calls).toEqual([])
      expect(await store.column(`select count(*) from ${store.table('outbox')} where number is null`)).toEqual([1])
      expect(await store.column(`select count(*) from ${store.table('outbox_series')}`)).toEqual([0])
      if (lease === undefined) throw new Error('the lease could not be taken')
      await other.write((session) => session.ownership.release(lease), what)
      await until(() => broker.taken.length === 1, 'it is sent when the lease is free')
      await zombie.stop()
      await other.close()
    })

    test('two relays at a time: one of them sends, each row once', async () => {
      const store = await newStore()
      const broker = new QueueBroker({ 'keeps order when it refuses': true })
      const apps = [1, 2].map(() => store.app({ broker }))
      for (const app of apps) await app.start()
      for (let n = 0; n < 20; n++) await apps[n % 2]?.transaction(({ publish }) => publish(notes, { id: `n${n}`, key: 'k' }))
      await until(() => broker.taken.length >= 20, 'all')
      for (const app of apps) await app.stop()
      expect(broker.numbers().map(([id, number]) => [id, number?.number])).toEqual(
        Array.from({ length: 20 }, (_, n) => [`n${n}`, BigInt(n + 1)]),
      )
    })
  })

  test('a row that is erased before it is numbered leaves no gap, one that is erased after it leaves one', async () => {
    const store = await newStore()
    const broker = new QueueBroker()
    const one = topic<Note>('t', { partitions: 1, id: (note) => note.id, key: (note) => note.id })
    const app = store.app({ broker, runtime: deadAt('relay:numbered') })
    const put = (...ids: string[]) =>
      app.transaction(({ publish }) => {
        for (const id of ids) publish(one, { id })
      })
    await put('a', 'b', 'c')
    await app.erase('t', { key: 'b', by: 'officer' })
    await app.start()
    await until(() => store.events.some(({ message }) => message.includes('dead')), 'they are numbered')
    await app.erase('t', { key: 'a', by: 'officer' })
    await app.stop()
    const next = store.app({ broker })
    await next.start()
    await next.transaction(({ publish }) => publish(one, { id: 'd' }))
    await until(() => broker.taken.length === 2, 'the others')
    await next.stop()
    expect(broker.numbers().map(([id, number]) => [id, number?.number])).toEqual([
      ['c', 2n],
      ['d', 3n],
    ])
  })

  describe('a broker that refuses', () => {
    test('one for now: later ones of its key come after it, those of others at once', async () => {
      const store = await newStore()
      const broker = new QueueBroker()
      let times = 0
      broker.refuses = ({ id }) => (id === 'a1' && times++ < 2 ? notNow(id) : undefined)
      await leave(store, broker, ...['a1', 'b1', 'a2', 'b2'].map((id) => ({ id, key: id[0] as string })))
      await sends(store, broker)
      expect(broker.taken.map(({ id }) => id)).toEqual(['b1', 'b2', 'a1', 'a2'])
    })

    test('one for good: it stays to be seen, is told of once, holds up nobody, and is not sent again', async () => {
      const store = await newStore()
      const broker = new QueueBroker()
      broker.refuses = ({ id }) => (id === 'a1' ? never(id) : undefined)
      await leave(store, broker, ...['a1', 'a2'].map((id) => ({ id, key: 'a' })))
      await sends(store, broker)
      await sends(store, broker)
      expect(broker.taken.map(({ id }) => id)).toEqual(['a2'])
      expect(broker.calls.flat().filter((id) => id === 'a1')).toEqual(['a1'])
      expect(store.events.filter(({ kind }) => kind === 'outbox-refused')).toMatchObject([
        {
          topic: 't',
          id: 'a1',
          source: 't',
          error: { code: 'ID_REUSED' },
          message: expect.stringMatching(/stays in the outbox/),
        },
      ])
      const app = store.app({ broker })
      const status = await app.status()
      expect(status.outbox).toEqual({ unsent: 0, oldestAgeMs: null, refused: 1 })
      expect(renderStatus(status, Date.now())).toContain('1 in the outbox REFUSED FOR GOOD by the broker')
      expect(await store.column(`select refusal from ${store.table('outbox')}`)).toEqual([
        'ID_REUSED: a1 was published before with other data.',
      ])
    })
  })

  test('status tells how many wait, and how long the oldest', async () => {
    const store = await newStore()
    const broker = new QueueBroker()
    const app = store.app({ broker })
    expect((await app.status()).outbox).toEqual({ unsent: 0, oldestAgeMs: null, refused: 0 })
    await leave(store, broker, { id: 'a' }, { id: 'b' })
    await store.exec(`update ${store.table('outbox')} set appended_ms = appended_ms - 60000 where id = 'b'`)
    const { unsent, oldestAgeMs } = (await app.status()).outbox
    expect(unsent).toBe(2)
    expect(oldestAgeMs).toBeGreaterThanOrEqual(60_000)
    expect(oldestAgeMs).toBeLessThan(120_000)
  })
})
