import { expect, test } from 'vitest'
import { InDatabaseBroker } from '../../src/broker/in-database/in-database-broker.ts'
import { topic } from '../../src/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { rejection, sleep, until } from '../support/until.ts'

const notes = topic<{ id: string }>('notes', { partitions: 1, id: (note) => note.id })
const later = (ms: number) => ({ deliverAt: new Date(Date.now() + ms) })

describeOnEngines('deliverAt', (engine) => {
  test('a message gets its offset when it is due, not when it is published; others pass it meanwhile', async () => {
    const store = await engine.store()
    const app = store.app()
    const times = new Map<string, number>()
    app.consume(
      notes,
      'g',
      handler(function* ({ id }: { id: string }, { tx }: Context) {
        times.set(id, Date.now())
        yield store.write(tx, 'insert into effect values (?, 1)', id)
      }),
    )
    await app.start()
    const dueMs = Date.now() + 1_500
    await app.publish(notes, { id: 'late' }, { deliverAt: new Date(dueMs) })
    await app.publish(notes, { id: 'later' }, { deliverAt: new Date(dueMs + 60) })
    await app.publish(notes, { id: 'sooner' }, { deliverAt: new Date(dueMs - 100) })
    await app.publish(notes, { id: 'now' })
    await app.publish(notes, { id: 'past' }, { deliverAt: new Date(0) })
    await app.idle()
    expect(await store.effects()).toEqual(['now', 'past'])
    expect((await app.status()).scheduled).toBe(3)
    await until(async () => (await store.effects()).length === 5, 'all')
    expect(await store.effects()).toEqual(['now', 'past', 'sooner', 'late', 'later'])
    expect(times.get('late')).toBeGreaterThanOrEqual(dueMs)
    expect(times.get('late')! - dueMs).toBeLessThan(1_000)
    expect(await store.column(`select id from ${store.log} order by place`)).toEqual(['now', 'past', 'sooner', 'late', 'later'])
    expect((await app.status()).scheduled).toBe(0)
  })

  test('identity is taken when it is published: a repeat meanwhile or afterwards is a duplicate, another body is refused', async () => {
    const store = await engine.store()
    const app = store.app()
    app.consume(notes, 'g', () => undefined)
    await app.start()
    expect((await app.publish(notes, { id: 'x' }, later(100))).status).toBe('accepted')
    expect((await app.publish(notes, { id: 'x' })).status).toBe('duplicate')
    expect(await rejection(app.publish(topic<number>('notes', { partitions: 1 }), 1, { id: 'x' }))).toMatchObject({
      code: 'ID_REUSED',
    })
    await until(async () => (await store.column(`select id from ${store.log}`)).length === 1, 'it')
    expect((await app.publish(notes, { id: 'x' }, later(50))).status).toBe('duplicate')
    await sleep(120)
    expect(await store.column(`select id from ${store.log}`)).toEqual(['x'])
  })

  test('it survives a restart, and is delivered once though two apps look for what is due', async () => {
    const store = await engine.store()
    const first = store.app()
    await first.publishMany(
      notes,
      Array.from({ length: 40 }, (_, number) => ({ data: { id: `${number}` }, ...later(150 + number) })),
    )
    await first.stop()
    const apps = [store.app(), store.app()]
    for (const app of apps) {
      app.consume(notes, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
      await app.start()
    }
    await until(async () => (await store.effects()).length === 40, 'all')
    await sleep(60)
    expect(await store.effects()).toEqual(Array.from({ length: 40 }, (_, number) => `${number}`))
  })

  test('a handler and a transaction may publish for later: due if and only if they commit', async () => {
    const store = await engine.store()
    const app = store.app()
    const echoes = topic<{ id: string }>('echoes', { partitions: 1, id: (echo) => echo.id })
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      apply: ({ id }, { publish }) => {
        publish(echoes, { id }, later(80))
        if (id === 'bad') throw new Error('no')
      },
    })
    await app.start()
    await app.publishMany(notes, [{ data: { id: 'bad' } }, { data: { id: 'good' } }])
    await app.transaction(({ publish }) => publish(echoes, { id: 'own' }, later(80)))
    await rejection(
      app.transaction(({ publish }) => {
        publish(echoes, { id: 'undone' }, later(80))
        throw new Error('no')
      }),
    )
    await until(async () => (await store.published('echoes')).length === 2, 'both')
    await sleep(60)
    expect(await store.column(`select id from ${store.log} where topic = 'echoes' order by id`)).toEqual(['good', 'own'])
  })

  test('to a broker outside the database it leaves by the outbox, and is still delivered when it is due', async () => {
    const store = await engine.store()
    const brokerStore = await engine.store()
    const app = store.app({ broker: new InDatabaseBroker(brokerStore.database()) })
    const times = new Map<string, number>()
    app.consume(notes, 'g', ({ id }) => void times.set(id, Date.now()))
    await app.start()
    // A machine may be so busy that the message is due before it leaves: then it says nothing, and more time is given.
    for (const delayMs of [300, 3_000, 30_000]) {
      const [late, now] = [`late ${delayMs}`, `now ${delayMs}`]
      const dueMs = Date.now() + delayMs
      await app.transaction(({ publish }) => {
        publish(notes, { id: late }, { deliverAt: new Date(dueMs) })
        publish(notes, { id: now })
      })
      await until(() => times.has(late) && times.has(now), 'both', delayMs + 15_000)
      expect(times.get(late)).toBeGreaterThanOrEqual(dueMs)
      if ((times.get(now) as number) >= dueMs) continue
      const ids = await brokerStore.column<string>(`select id from ${store.log} order by place`)
      expect(ids.slice(-2)).toEqual([now, late])
      return
    }
    throw new Error('never was a message delivered before the other was due')
  })
})
