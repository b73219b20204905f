import { expect, test } from 'vitest'
import { inDatabaseBroker } from '../../../src/broker/in-database/index.ts'
import { memberFor } from '../../../src/broker/in-database/partition-assigner.ts'
import { topic } from '../../../src/index.ts'
import { describeOnEngines } from '../../support/engines.ts'
import { until } from '../../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}
const steps = topic<Step>('steps', { partitions: 4, id: (step) => step.id, key: (step) => step.key })
const some = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({ data: { id: `${from + index}`, key: `k${index % 7}` } }))

describeOnEngines('in-database broker', (engine) => {
  test('a message published here is applied here without waiting for a poll', async () => {
    const store = await engine.store()
    const app = store.app()
    let applied: () => void = () => undefined
    app.consume(steps, 'g', () => applied())
    await app.start()
    await app.publish(steps, { id: 'warm', key: 'k' })
    await app.idle()
    const took: number[] = []
    for (let number = 0; number < 30; number++) {
      const heard = new Promise<void>((resolve) => {
        applied = resolve
      })
      const startedMs = performance.now()
      await app.publish(steps, { id: `${number}`, key: 'k' })
      await heard
      took.push(performance.now() - startedMs)
    }
    // The probe for other processes' commits comes every 100 ms, on a server every 250: nothing here may have waited for it.
    expect(took.toSorted((a, b) => a - b)[15]).toBeLessThan(engine.name === 'sqlite' ? 40 : 100)
  })

  test('another app on the file is heard of at once, not only at the next look', async () => {
    const store = await engine.store()
    const app = store.app()
    let applied: () => void = () => undefined
    app.consume(steps, 'g', () => applied())
    await app.start()
    await app.idle()
    const other = store.app()
    await other.publish(steps, { id: 'warm', key: 'k' })
    const took: number[] = []
    for (let number = 0; number < 20; number++) {
      const heard = new Promise<void>((resolve) => {
        applied = resolve
      })
      const startedMs = performance.now()
      await other.publish(steps, { id: `${number}`, key: 'k' })
      await heard
      took.push(performance.now() - startedMs)
    }
    expect(took.toSorted((a, b) => a - b)[10]).toBeLessThan(engine.name === 'sqlite' ? 60 : 100)
  })

  test('over a database of its own: it remembers there what is acknowledged, and effects commit in the app’s', async () => {
    const store = await engine.store()
    const brokerStore = await engine.store('')
    const open = () => {
      const app = store.app({ broker: inDatabaseBroker(brokerStore.database()) })
      app.consume(steps, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
      return app
    }
    const first = open()
    await first.start()
    await first.publishMany(steps, some(0, 50))
    await until(async () => (await store.effects()).length === 50, 'all')
    await first.idle()
    await first.stop()
    expect(await brokerStore.column(`select sum("offset") from ${brokerStore.table('checkpoint')}`)).toEqual([50])
    expect(await store.column(`select count(*) from ${store.log}`)).toEqual([0])
    const second = open()
    await second.start()
    await second.publishMany(steps, some(50, 80))
    await until(async () => (await store.effects()).length === 80, 'the rest')
    expect(new Set(await store.effects()).size).toBe(80)
  })

  test('everybody computes the same owner for a partition, and the partitions are shared evenly', () => {
    for (let members = 1; members <= 9; members++) {
      const list = Array.from({ length: members }, (_, index) => index)
      for (const membership of ['steps/g', 'a/b', 'orders/ledger']) {
        const shares = new Map<number, number>()
        for (let partition = 0; partition < 64; partition++) {
          const member = memberFor(list, membership, partition) as number
          shares.set(member, (shares.get(member) ?? 0) + 1)
        }
        const counts = [...shares.values()]
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        expect(shares.size).toBe(members)
      }
    }
    expect(memberFor([], 'steps/g', 0)).toBeUndefined()
  })

  test('a partition goes to another app by agreement: nothing is lost, nothing twice, no crash is counted', async () => {
    const store = await engine.store('create table effect (id text, key text)')
    const open = () => {
      const app = store.app({ leaseMs: 1_000 })
      app.consume(steps, {
        group: 'g',
        batchSize: 5,
        apply: ({ id, key }, { tx }) => store.write(tx, 'insert into effect values (?, ?)', id, key),
      })
      return app
    }
    const first = open()
    await first.start()
    let published = 0
    const publish = async (count: number): Promise<void> => {
      await first.publishMany(steps, some(published, published + count))
      published += count
    }
    await publish(100)
    const second = open()
    await second.start()
    for (let round = 0; round < 20; round++) await publish(20)
    await second.stop()
    for (let round = 0; round < 20; round++) await publish(20)
    await first.idle()
    const effects = await store.effects()
    expect(effects).toHaveLength(published)
    expect(new Set(effects).size).toBe(published)
    for (let key = 0; key < 7; key++) {
      const all = (await store.column(`select id from effect where key = ? order by ${store.inOrder}`, `k${key}`)).map(Number)
      expect(all).toEqual(all.toSorted((a, b) => a - b))
    }
    expect(await store.column(`select sum(crashes) from ${store.table('lease')} where name like 'steps/%'`)).toEqual([0])
  })

  test('large messages are read a few at a time, and all arrive', async () => {
    const store = await engine.store()
    const big = topic<string>('big', { partitions: 1 })
    const app = store.app()
    const batches: number[] = []
    app.consume(big, {
      group: 'g',
      applyBatch: (items) => void batches.push(items.length),
    })
    await app.publishMany(
      big,
      Array.from({ length: 24 }, () => ({ data: 'x'.repeat(900_000) })),
    )
    await app.start()
    await app.idle()
    expect(batches.reduce((sum, count) => sum + count, 0)).toBe(24)
    expect(Math.max(...batches)).toBeLessThan(10)
  })
})
