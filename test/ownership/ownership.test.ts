import { describe, expect, test } from 'vitest'
import { topic } from '../../src/index.ts'
import { Ownership } from '../../src/ownership/ownership.ts'
import type { Lease } from '../../src/ownership/ownership-store.ts'
import type { Store } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { ShiftedRuntime } from '../support/shifted-runtime.ts'
import { Worker } from '../support/torture-process.ts'
import { rejection, sleep, until } from '../support/until.ts'

const leaseMs = 2_000
const window = { ms: 8 * 3_600_000, maxIds: 1_000_000 }
const racer = new URL('../support/lease-racer.ts', import.meta.url).pathname

describeOnEngines('ownership', (engine) => {
  async function owner(store: Store, clock = new ShiftedRuntime()) {
    const database = store.database()
    await database.open({ runtime: clock.runtime, dedupWindow: window })
    const ownership = new Ownership(database as never, clock.runtime, leaseMs)
    await ownership.start()
    const commit = (lease: Lease, value: number) =>
      database.write(
        async (session) => {
          await session.ownership.guard(lease)
          const { tx } = session.openTx()
          await store.write(tx, 'insert into effect values (?, ?)', lease.name, value)
        },
        { what: 'test' },
      )
    const close = async (): Promise<void> => {
      await ownership.stop()
      await database.close()
    }
    return { database, ownership, commit, close, clock }
  }

  describe('a lease', () => {
    test('is held by one; others get it after a clean release, with a higher epoch and no crash counted', async () => {
      const store = await engine.store()
      const [a, b] = [await owner(store), await owner(store)]
      const first = await a.ownership.take('p')
      expect(first).toMatchObject({ epoch: 1n, crashes: 0 })
      expect(await b.ownership.take('p')).toBeUndefined()
      expect(await a.ownership.holds(first!)).toBe(true)
      await a.ownership.release(first!)
      expect(await b.ownership.take('p')).toMatchObject({ epoch: 2n, crashes: 0 })
      await Promise.all([a.close(), b.close()])
      expect(await store.rows(`select owner, epoch from ${store.table('lease')}`)).toEqual([{ owner: null, epoch: 2 }])
    })

    test('of an owner that has been silent too long goes to another; the late owner is fenced, whatever its clock says', async () => {
      const store = await engine.store()
      const [a, b] = [await owner(store), await owner(store)]
      const old = (await a.ownership.take('p'))!
      await a.commit(old, 1)
      b.clock.wallAheadMs += leaseMs + 1_000
      const taken = (await b.ownership.take('p'))!
      expect(taken).toMatchObject({ epoch: 2n, crashes: 1 })
      expect(await rejection(a.commit(old, 2))).toMatchObject({ code: 'FENCED' })
      await b.commit(taken, 3)
      expect(await rejection(a.commit(old, 4))).toMatchObject({ code: 'FENCED' })
      expect(await store.column('select value from effect')).toEqual([1, 3])
      await Promise.all([a.close(), b.close()])
    })

    test('that was released no longer commits, even when nobody has taken it', async () => {
      const store = await engine.store()
      const a = await owner(store)
      const lease = (await a.ownership.take('p'))!
      await a.ownership.release(lease)
      expect(await rejection(a.commit(lease, 1))).toMatchObject({ code: 'FENCED' })
      await a.close()
    })

    test('may be taken by force: the epoch rises, the other is fenced', async () => {
      const store = await engine.store()
      const [a, b] = [await owner(store), await owner(store)]
      const old = (await a.ownership.take('p'))!
      expect(await b.ownership.take('p', { force: true })).toMatchObject({ epoch: 2n })
      expect(await rejection(a.commit(old, 1))).toMatchObject({ code: 'FENCED' })
      await Promise.all([a.close(), b.close()])
    })

    test('crashes add up until the new owner trusts it again', async () => {
      const store = await engine.store()
      for (let crashes = 0; crashes < 4; crashes++) {
        const each = await owner(store)
        each.clock.wallAheadMs += crashes * 100_000
        const lease = await each.ownership.take('p')
        expect(lease).toMatchObject({ epoch: BigInt(crashes + 1), crashes })
        // Ends without a word, as a killed process does; only the file is closed.
        await each.database.close()
      }
      const last = await owner(store)
      last.clock.wallAheadMs += 1_000_000
      const lease = (await last.ownership.take('p'))!
      await last.database.write((session) => session.ownership.trust(lease), { what: 'test' })
      await last.ownership.release(lease)
      expect(await last.ownership.take('p')).toMatchObject({ crashes: 0 })
      await last.close()
    })
  })

  test('two processes racing for the same leases: each epoch is given once, they only grow, and one at a time commits', {
    timeout: 20_000,
  }, async () => {
    const store = await engine.store(
      'create table effect (name text, epoch integer, pid integer); create table given (name text, epoch integer, pid integer)',
    )
    const workers = [1, 2].map(() => new Worker(racer, { at: store.config, rounds: 60 }))
    await Promise.all(workers.map((worker) => worker.until('done')))
    await Promise.all(workers.map((worker) => worker.end()))
    const given = await store.rows<{ name: string; epoch: number; pid: number }>(
      'select name, epoch, pid from given order by name, epoch',
    )
    expect(new Set(given.map((row) => row.pid)).size).toBe(2)
    for (const name of ['p0', 'p1']) {
      const epochs = given.filter((row) => row.name === name).map((row) => row.epoch)
      expect(epochs.length).toBeGreaterThan(10)
      expect(new Set(epochs).size).toBe(epochs.length)
    }
    // Effects are written under the fence: no later row has an older epoch.
    for (const name of ['p0', 'p1']) {
      const epochs = await store.column<number>(`select epoch from effect where name = ? order by ${store.inOrder}`, name)
      expect(epochs).toEqual(epochs.toSorted((a, b) => a - b))
    }
    const owners = new Map(given.map((row) => [`${row.name}/${row.epoch}`, row.pid]))
    for (const row of await store.rows<{ name: string; epoch: number; pid: number }>('select name, epoch, pid from effect')) {
      expect(owners.get(`${row.name}/${row.epoch}`)).toBe(row.pid)
    }
  })

  test('an owner that was declared gone by mistake enrols again and goes on consuming; nothing is applied twice', async () => {
    const store = await engine.store()
    const steps = topic<{ id: string }>('steps', { partitions: 2, id: (step) => step.id })
    const app = store.app({ leaseMs: 400 })
    app.consume(steps, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
    await app.start()
    await app.publishMany(steps, [{ data: { id: 'a' } }, { data: { id: 'b' } }])
    await app.idle()
    const before = await store.column<number>(`select owner from ${store.table('owner')}`)
    await store.exec(`begin; delete from ${store.table('owner')}; delete from ${store.table('member')}; commit`)
    await until(async () => (await store.column(`select owner from ${store.table('owner')}`)).length === 1, 'a new enrolment')
    expect((await store.column<number>(`select owner from ${store.table('owner')}`))[0]).toBeGreaterThan(before[0]!)
    await app.publishMany(
      steps,
      Array.from({ length: 20 }, (_, number) => ({ data: { id: `${number}` } })),
    )
    await until(
      async () => (await store.effects()).length === 22,
      async () => JSON.stringify([await store.effects(), store.events.slice(-5)]),
    )
    await sleep(100)
    expect(new Set(await store.effects()).size).toBe(22)
    expect(await store.effects()).toHaveLength(22)
  })

  test('a consumer whose partition was taken from it is fenced: its transaction rolls back, it is counted, and the other goes on', async () => {
    const store = await engine.store()
    const steps = topic<{ id: string }>('steps', { partitions: 1, id: (step) => step.id })
    const app = store.app()
    let inside: (() => void) | undefined
    app.consume(steps, {
      group: 'g',
      semantics: 'at-least-once',
      receive: async () => {
        if (inside !== undefined) return
        await new Promise<void>((resolve) => {
          inside = resolve
        })
      },
    })
    await app.publish(steps, { id: 'a' })
    await app.start()
    await until(() => inside !== undefined, 'the handler')
    await store.exec(`update ${store.table('lease')} set epoch = epoch + 1 where name = 'steps/g/0'`)
    inside?.()
    await until(async () => (await app.groups.list())[0]?.fenced === 1, 'the counter')
    expect(store.events.filter((event) => event.kind === 'fenced')).toHaveLength(1)
    await until(async () => (await app.groups.list())[0]?.lag === 0, 'the next owner', 8_000)
    expect((await app.groups.list())[0]).toMatchObject({ applied: 1 })
  })
})
