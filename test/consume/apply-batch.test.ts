import { expect, test } from 'vitest'
import type { BatchItem } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'

interface Step {
  readonly id: string
  readonly key: string
}

const steps = topic<Step>('steps', { partitions: 1, id: (step) => step.id, key: (step) => step.key })
const echoes = topic<{ of: string }>('echoes', { partitions: 1, id: (echo) => echo.of })
const named = (...ids: string[]) => ids.map((id) => ({ data: { id, key: id.slice(0, 1) } }))
describeOnEngines('applyBatch', (engine) => {
  test('applyBatch: all items at once, in order, each publishing in its own name, in one commit', async () => {
    const store = await engine.store()
    const app = store.app()
    const calls: string[][] = []
    app.consume(steps, {
      group: 'g',
      applyBatch: handler(function* (items: readonly BatchItem<Step>[], { tx }: Pick<Context, 'tx'>) {
        calls.push(items.map((item) => `${item.message.id}@${item.attempt}`))
        for (const item of items) yield store.write(tx, 'insert into effect values (?, 1)', item.data.id)
        for (const item of items) item.publish(echoes, { of: item.data.id })
      }),
    })
    await app.publishMany(steps, named('a1', 'b1', 'a2', 'c1'))
    await app.start()
    await app.idle()
    expect(calls).toEqual([['a1@1', 'b1@1', 'a2@1', 'c1@1']])
    expect(await store.effects()).toEqual(['a1', 'b1', 'a2', 'c1'])
    expect(await store.published('echoes')).toEqual(['a1', 'b1', 'a2', 'c1'])
  })

  test.each([false, true])(
    'applyBatch that fails: nothing of it stays, then one by one; only the guilty is parked (async handler: %s)',
    async (asynchronous) => {
      const store = await engine.store()
      const app = store.app()
      const calls: string[] = []
      app.consume(steps, {
        group: 'g',
        maxAttempts: 2,
        applyBatch: handler(function* (items: readonly BatchItem<Step>[], { tx }: Pick<Context, 'tx'>) {
          calls.push(items.map((item) => `${item.data.id}@${item.attempt}`).join('+'))
          for (const item of items) {
            yield store.write(tx, 'insert into effect values (?, ?)', item.data.id, item.attempt)
            item.publish(echoes, { of: item.data.id })
          }
          const bad = items.some((item) => item.data.id === 'a1')
          if (asynchronous) return bad ? Promise.reject(new Error('no')) : Promise.resolve()
          if (bad) throw new Error('no')
          return undefined
        }),
      })
      await app.publishMany(steps, named('b1', 'a1', 'c1', 'a2'))
      await app.start()
      await app.idle()
      expect(calls).toEqual(['b1@1+a1@1+c1@1+a2@1', 'b1@1', 'a1@1', 'a1@2', 'c1@1'])
      expect(await store.rows('select id, value from effect')).toEqual([
        { id: 'b1', value: 1 },
        { id: 'c1', value: 1 },
      ])
      expect(await store.published('echoes')).toEqual(['b1', 'c1'])
      expect(await app.attention.list()).toMatchObject([{ envelope: { id: 'a1' }, attempts: 2, behind: 1 }])
    },
  )

  test('applyBatch gets only what may be applied now: neither what waits behind a parked message nor what does not fit the schema', async () => {
    const store = await engine.store()
    const { z } = await import('zod')
    const strict = topic('steps', {
      partitions: 1,
      schema: z.object({ id: z.string(), key: z.string(), n: z.number().optional() }),
      id: (step) => step.id,
      key: (step) => step.key,
    })
    const app = store.app()
    const calls: string[] = []
    let broken = true
    app.consume(strict, {
      group: 'g',
      maxAttempts: 1,
      applyBatch: handler(function* (items: readonly BatchItem<Step>[], { tx }: Pick<Context, 'tx'>) {
        calls.push(items.map((item) => item.data.id).join('+'))
        for (const item of items) yield store.write(tx, 'insert into effect values (?, 1)', item.data.id)
        if (broken && items.some((item) => item.data.id === 'a1')) throw new Error('no')
      }),
    })
    await app.publishMany(steps, named('a1'))
    await app.start()
    await app.idle()
    await app.publishMany(steps, [
      ...named('b1', 'a2', 'c1'),
      { data: { id: 'd1', key: 'd', n: 'three' } as Step },
      ...named('e1'),
    ])
    await app.idle()
    expect(calls.slice(1)).toEqual(['b1+c1+e1'])
    broken = false
    const [item] = await app.attention.list()
    await app.attention.redrive(item!.id)
    await app.idle()
    expect(await store.effects()).toEqual(['b1', 'c1', 'e1', 'a1', 'a2'])
    expect((await app.attention.list()).map((each) => each.envelope.id)).toEqual(['d1'])
  })
})
