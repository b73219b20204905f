import { describe, expect, test } from 'vitest'
import { topic } from '../../src/index.ts'
import type { AppProcessConfig } from '../support/app-process.ts'
import { appProcess } from '../support/app-process.ts'
import { describeOnEngines } from '../support/engines.ts'
import { Worker } from '../support/torture-process.ts'
import { rejection, sleep, until } from '../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}

const steps = topic<Step>('steps', { partitions: 4, id: (step) => step.id, key: (step) => step.key })
const some = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({ data: { id: `${from + index}`, key: `k${index % 8}` } }))
const collect =
  (into: string[]) =>
  ({ id }: Step) =>
    void into.push(id)

describeOnEngines('groups', (engine) => {
  describe('where a group starts', () => {
    test('a new group gets all there is by default, with startFrom latest only what comes; a known group goes on where it was', async () => {
      const store = await engine.store('')
      const producer = store.app()
      await producer.publishMany(steps, some(0, 5))
      const early: string[] = []
      const late: string[] = []
      const first = store.app()
      first.consume(steps, 'early', collect(early))
      first.consume(steps, { group: 'late', startFrom: 'latest', apply: collect(late) })
      await first.start()
      await producer.publishMany(steps, some(5, 8))
      await first.idle()
      await first.stop()
      await producer.publishMany(steps, some(8, 10))
      const second = store.app()
      second.consume(steps, { group: 'early', startFrom: 'latest', apply: collect(early) })
      second.consume(steps, { group: 'late', startFrom: 'earliest', apply: collect(late) })
      await second.start()
      await second.idle()
      expect(early.toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
      expect(late.toSorted()).toEqual(['5', '6', '7', '8', '9'])
    })

    test('startFrom latest on a topic that does not exist yet: the first message is one that comes', async () => {
      const store = await engine.store('')
      const app = store.app()
      const seen: string[] = []
      app.consume(steps, { group: 'g', startFrom: 'latest', apply: collect(seen) })
      await app.start()
      await app.publishMany(steps, some(0, 3))
      await app.idle()
      expect(seen.toSorted()).toEqual(['0', '1', '2'])
    })
  })

  test('two groups each get every message, and one that fails does not touch the other', async () => {
    const store = await engine.store('')
    const app = store.app()
    const one: string[] = []
    app.consume(steps, 'one', collect(one))
    app.consume(steps, {
      group: 'two',
      maxAttempts: 1,
      apply: () => {
        throw new Error('no')
      },
    })
    await app.publishMany(steps, some(0, 20))
    await app.start()
    await app.idle()
    expect(one).toHaveLength(20)
    const groups = await app.groups.list()
    expect(groups.map(({ group, applied, attention, parked, lag }) => ({ group, applied, attention, parked, lag }))).toEqual([
      { group: 'one', applied: 20, attention: 0, parked: 0, lag: 0 },
      { group: 'two', applied: 0, attention: 8, parked: 12, lag: 0 },
    ])
  })

  test('start({ groups }) runs only these; the others keep their place and run elsewhere', async () => {
    const store = await engine.store('')
    const one: string[] = []
    const two: string[] = []
    const make = () => {
      const app = store.app()
      app.consume(steps, 'one', collect(one))
      app.consume(steps, 'two', collect(two))
      return app
    }
    const first = make()
    await first.start({ groups: ['one'] })
    await first.publishMany(steps, some(0, 5))
    await first.idle()
    expect([one.length, two.length]).toEqual([5, 0])
    const second = make()
    await second.start({ groups: ['two'] })
    await second.idle()
    expect([one.length, two.length]).toEqual([5, 5])
  })

  test('pause stops a group after what has begun, others go on; resume continues without loss', async () => {
    const store = await engine.store('')
    const app = store.app()
    const paused: string[] = []
    const other: string[] = []
    app.consume(steps, 'paused', collect(paused))
    app.consume(steps, 'other', collect(other))
    await app.start()
    await app.publishMany(steps, some(0, 5))
    await app.idle()
    app.pause('paused')
    app.pause('paused')
    // A partition loop that waits for its next message hands over at most what it was already waiting for.
    await app.publishMany(steps, some(5, 9))
    await until(() => other.length === 9, 'the other group')
    await app.publishMany(steps, some(9, 60))
    await until(() => other.length === 60, 'the other group')
    await sleep(60)
    expect(paused.length).toBeLessThan(20)
    app.resume('paused')
    await app.idle()
    expect(paused).toHaveLength(60)
    expect(new Set(paused).size).toBe(60)
  })

  test('idle waits for what is published, parked for later or scheduled behind it, and stops waiting when told', async () => {
    const store = await engine.store('')
    const app = store.app()
    const seen: string[] = []
    app.consume(steps, {
      group: 'g',
      inlineAttempts: 1,
      backoffMs: 80,
      apply: ({ id }, { attempt }) => {
        if (attempt < 3) throw new Error('later')
        seen.push(id)
      },
    })
    await app.start()
    await app.idle()
    await app.publish(steps, { id: 'x', key: 'k' })
    await app.idle()
    expect(seen).toEqual(['x'])
    app.pause('g')
    await app.publishMany(steps, some(0, 50))
    const error = await rejection(app.idle({ signal: AbortSignal.timeout(100) }))
    expect(error.name).toMatch(/TimeoutError|OnefoldError/)
  })

  test('idle waits for the groups that run here: not for what another has parked', async () => {
    const store = await engine.store('')
    const other = store.app()
    let attempts = 0
    other.consume(steps, {
      group: 'other',
      backoffMs: 60_000,
      apply: () => {
        attempts++
        throw new Error('later')
      },
    })
    await other.start()
    await other.publish(steps, { id: 'x', key: 'k' })
    await until(async () => (await other.groups.list()).some(({ parked }) => parked > 0), 'the parked message')
    await other.stop()
    const seen: string[] = []
    const app = store.app()
    app.consume(steps, 'g', collect(seen))
    await app.start()
    await app.idle()
    expect([seen, attempts > 0]).toEqual([['x'], true])
  })

  describe('removing a group', () => {
    test('is refused while it is consumed; afterwards it is gone, and the same name starts anew', async () => {
      const store = await engine.store('')
      const app = store.app()
      app.consume(steps, {
        group: 'g',
        maxAttempts: 1,
        apply: ({ key }) => {
          if (key === 'k1') throw new Error('no')
        },
      })
      await app.publishMany(steps, some(0, 16))
      await app.start()
      await app.idle()
      expect(await rejection(app.groups.remove('steps', 'g'))).toMatchObject({ code: 'NOT_POSSIBLE' })
      await app.stop()
      const other = store.app()
      expect(await other.groups.remove('steps', 'g')).toEqual({ parked: 1, attention: 1, calls: 0, attempts: 1 })
      expect(await other.groups.list()).toEqual([])
      expect(await other.attention.list({ state: 'all' })).toEqual([])
      expect(await rejection(other.groups.remove('steps', 'g'))).toMatchObject({ code: 'NOT_FOUND' })
      const again: string[] = []
      other.consume(steps, 'g', collect(again))
      await other.start()
      await other.idle()
      expect(again).toHaveLength(16)
    })

    test('epochs are never given twice: a new group of the old name is above them', async () => {
      const store = await engine.store('')
      const epochs = () =>
        store.column<number>(`select epoch from ${store.table('lease')} where name like 'steps/g/%' order by name`)
      for (let round = 1; round <= 3; round++) {
        const app = store.app()
        app.consume(steps, 'g', () => undefined)
        await app.publish(steps, { id: `${round}`, key: 'k' })
        await app.start()
        await app.idle()
        await until(async () => (await epochs()).length === 4, 'all partitions')
        expect(await epochs()).toEqual([round, round, round, round])
        await app.stop()
        await store.app().groups.remove('steps', 'g')
      }
    })
  })

  test('partitions are split over two processes, and go to the one that stays when the other stops', async () => {
    const store = await engine.store()
    const config: AppProcessConfig = { at: store.config, partitions: 4, leaseMs: 2_000 }
    const workers = [new Worker(appProcess, config), new Worker(appProcess, config)]
    await Promise.all(workers.map((worker) => worker.until('started')))
    const shares = async () =>
      (
        await store.column<string>(
          `select o.pid || ' has ' || count(*) from ${store.table('lease')} l join ${store.table('owner')} o using (owner) where l.name like 'steps/g/%' group by o.pid order by o.pid`,
        )
      ).join()
    const split = workers.map(({ pid }) => `${pid} has 2`).toSorted()
    await until(async () => (await shares()).split(',').toSorted().join() === split.join(), shares)
    const app = store.app()
    await app.publishMany(steps, some(0, 200))
    await until(async () => (await store.effects()).length === 200, 'all applied', 8_000)
    expect(await store.column('select distinct value from effect')).toHaveLength(2)
    const [leaving, staying] = workers as [Worker, Worker]
    leaving.child.stdin?.end()
    await leaving.until('stopped')
    await until(async () => (await shares()) === `${staying.pid} has 4`, shares)
    await app.publishMany(steps, some(200, 300))
    await until(async () => (await store.effects()).length === 300, 'all applied', 8_000)
    expect(new Set(await store.effects()).size).toBe(300)
    expect(await store.column<number>(`select sum(crashes) from ${store.table('lease')} where name like 'steps/g/%'`)).toEqual([
      0,
    ])
    staying.child.stdin?.end()
    await staying.until('stopped')
  })
})
