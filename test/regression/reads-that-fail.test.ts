import { expect, test } from 'vitest'
import { call, topic } from '../../src/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { failingReads } from '../support/failing-reads.ts'
import { until } from '../support/until.ts'

const orders = topic<{ id: string }>('orders', { partitions: 1, id: ({ id }) => id })

/** Both were found by `prove` when reads could fail in it. */
describeOnEngines('a read that fails', (engine) => {
  /** It was an attempt of the message: with one attempt allowed, or in an outage of some minutes, it became a dead letter. */
  test('of the journal of calls: it says nothing about the message, whose only attempt is still to come', async () => {
    const store = await engine.store()
    let left = 0
    const database = failingReads(store, 'calls', () => left-- > 0)
    const app = store.app({ database, leaseMs: 500 })
    app.consume(orders, {
      group: 'charge',
      maxAttempts: 1,
      calls: { charge: call(({ id }: { id: string }) => id) },
      apply: ({ id }, { tx, attempt }: Context) => store.write(tx, 'insert into effect values (?, ?)', id, attempt),
    })
    await app.start()
    left = 2
    await app.publish(orders, { id: 'a' })
    await until(
      async () => (await store.effects()).length === 1,
      () => JSON.stringify(store.events),
    )
    expect(left).toBeLessThan(0)
    expect(await store.column('select value from effect')).toEqual([1])
    expect(store.events.filter(({ kind }) => kind === 'attempt-failed' || kind === 'attention')).toEqual([])
  })

  /** Each look at the partitions took the lease anew, and counted an unclean end: messages were suspected of killing processes. */
  test('of a checkpoint, when a partition has been taken: it is taken again, and no process is said to have ended', async () => {
    const store = await engine.store()
    let left = 4
    const database = failingReads(store, 'checkpoints', () => left-- > 0)
    const app = store.app({ database, leaseMs: 500 })
    app.consume(orders, {
      group: 'g',
      apply: ({ id }, { tx }: Context) => store.write(tx, 'insert into effect values (?, 1)', id),
    })
    await app.start()
    await app.publish(orders, { id: 'a' })
    await until(
      async () => (await store.effects()).length === 1,
      () => JSON.stringify(store.events),
    )
    expect(left).toBeLessThan(0)
    expect(store.events.map(({ kind }) => kind)).not.toContain('taken-over')
    expect(await store.column(`select crashes from ${store.table('lease')} where name = 'orders/g/0'`)).toEqual([0])
  })
})
