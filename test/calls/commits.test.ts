import { expect, test } from 'vitest'
import { call, topic } from '../../src/index.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { describeOnEngines } from '../support/engines.ts'
import { until } from '../support/until.ts'

describeOnEngines('commits', (engine) => {
  /** A COMMIT is a sync of the disk: what calls cost is counted in them. */
  const orders = topic<{ id: string }>('orders', { id: (order) => order.id, key: (order) => order.id, partitions: 4 })

  async function subject(calls: boolean, concurrency = 10) {
    const store = await engine.store()
    let commits = 0
    const runtime = {
      ...nodeRuntime(),
      reached(point: string) {
        if (point === 'commit:before') commits++
      },
    }
    // A lease so long that no heartbeat falls into what is counted.
    const app = store.app({ runtime, leaseMs: 600_000 })
    const settings = { group: 'g', ...(calls ? { concurrency, calls: { charge: call(async () => ({ id: 1 })) } } : {}) }
    app.consume(orders, {
      ...settings,
      apply: ({ id }: { id: string }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id),
    })
    const publisher = store.app()
    const counted = async (publish: () => Promise<unknown>, count: number): Promise<number> => {
      const before = { commits, effects: (await store.effects()).length }
      await publish()
      await until(async () => (await store.effects()).length === before.effects + count, 'all are applied', 30_000)
      await app.idle()
      return commits - before.commits
    }
    return { app, publisher, counted }
  }

  test('at idle, a message with a call takes at most two commits more than one without', async () => {
    const perMessage = async (calls: boolean): Promise<number[]> => {
      const { app, publisher, counted } = await subject(calls)
      await app.start()
      // The first message brings the topic and its partitions.
      await counted(() => publisher.publish(orders, { id: 'first' }), 1)
      const counts: number[] = []
      for (let index = 0; index < 10; index++) counts.push(await counted(() => publisher.publish(orders, { id: `${index}` }), 1))
      return counts
    }
    const without = await perMessage(false)
    const withCall = await perMessage(true)
    console.log(`commits per message: without a call ${without.join(' ')}, with one ${withCall.join(' ')}`)
    // Now and then housekeeping commits in between.
    const usual = (counts: number[]) => counts.toSorted((a, b) => a - b)[5]
    expect(usual(without)).toBe(1)
    expect(usual(withCall)).toBeLessThanOrEqual(3)
  })

  test('under load, messages share the commits of their calls', async () => {
    const messages = engine.name === 'sqlite' ? 1_000 : 200
    const { app, publisher, counted } = await subject(true, 50)
    await app.start()
    await app.idle()
    const data = Array.from({ length: messages }, (_, index) => ({ data: { id: `${index}` } }))
    const commits = await counted(() => publisher.publishMany(orders, data), messages)
    console.log(`${messages} messages with a call, 50 at the same time: ${(commits / messages).toFixed(3)} commits per message`)
    // A server has many transactions at once, and shares the sync of the disk between them; a file has one.
    expect(commits / messages).toBeLessThan(engine.name === 'sqlite' ? 0.5 : 2.5)
  })
})
