import { expect, test } from 'vitest'
import { gatherMs } from '../../../src/broker/in-database/log-assignment.ts'
import type { BatchItem, Runtime } from '../../../src/index.ts'
import { topic } from '../../../src/index.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import type { Context } from '../../support/engines.ts'
import { describeOnEngines, handler } from '../../support/engines.ts'
import { until } from '../../support/until.ts'

const steps = topic<{ id: string }>('steps', { partitions: 1, id: (step) => step.id })

describeOnEngines('flow', (engine) => {
  test('in a steady flow a partition gathers: fewer commits than publishes, and every message applied in order', async () => {
    const store = await engine.store()
    const batches: number[] = []
    const app = store.app()
    app.consume(steps, {
      group: 'g',
      applyBatch: handler(function* (items: readonly BatchItem<{ id: string }>[], { tx }: Pick<Context, 'tx'>) {
        batches.push(items.length)
        for (const { data } of items) yield store.write(tx, 'insert into effect values (?, 1)', data.id)
      }),
    })
    await app.start()
    const all: string[] = []
    for (let round = 0; round < 60; round++) {
      const ids = Array.from({ length: 20 }, (_, index) => `${String(round).padStart(2, '0')}-${String(index).padStart(2, '0')}`)
      all.push(...ids)
      await app.publishMany(
        steps,
        ids.map((id) => ({ data: { id } })),
      )
    }
    await app.idle()
    expect(await store.effects()).toEqual(all)
    expect(batches.length).toBeLessThan(45)
  })

  test('at idle nothing gathers: single messages are read as they come', async () => {
    const store = await engine.store()
    const real = nodeRuntime()
    const slept: number[] = []
    const sleep: Runtime['sleep'] = (ms, signal) => {
      slept.push(ms)
      return real.sleep(ms, signal)
    }
    const app = store.app({ runtime: { ...real, sleep } })
    app.consume(steps, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
    await app.start()
    for (let index = 0; index < 30; index++) {
      await app.publish(steps, { id: String(index) })
      await until(async () => (await store.effects()).length === index + 1, 'applied')
    }
    expect(slept).not.toContain(gatherMs)
  })
})
