import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { App } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import type { EngineTx } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { rejection, sleep, until } from '../support/until.ts'

const steps = topic<{ id: string }>('steps', { partitions: 1, id: (step) => step.id })
const some = (count: number) => Array.from({ length: count }, (_, number) => ({ data: { id: `${number}` } }))

describeOnEngines('stop', (engine) => {
  test.each(['apply', 'receive'] as const)(
    '%s: stop lets what has begun end and commits it; the rest waits for the next start',
    async (kind) => {
      const store = await engine.store()
      const app = store.app()
      const done: string[] = []
      let begun = 0
      const handler = async ({ id }: { id: string }): Promise<void> => {
        begun++
        await sleep(30)
        done.push(id)
      }
      if (kind === 'apply') app.consume(steps, { group: 'g', batchSize: 1, apply: handler })
      else app.consume(steps, { group: 'g', semantics: 'at-least-once', batchSize: 1, receive: handler })
      await app.publishMany(steps, some(5))
      await app.start()
      await until(() => begun === 2, 'the second')
      await app.stop()
      expect(done).toHaveLength(begun)
      expect(begun).toBeLessThan(5)
      expect(await store.column(`select "offset" from ${store.table('checkpoint')}`)).toEqual([begun])
      expect(await store.column(`select count(*) from ${store.table('owner')}`)).toEqual([0])
      expect(await store.column(`select count(*) from ${store.table('lease')} where owner is not null`)).toEqual([0])
      const next = store.app()
      next.consume(steps, { group: 'g', semantics: 'at-least-once', receive: ({ id }) => void done.push(id) })
      await next.start()
      await next.idle()
      expect(done).toEqual(['0', '1', '2', '3', '4'])
    },
  )

  test.each(['apply', 'receive'] as const)(
    '%s: stop({ drainMs: 0 }) aborts the running handler; nothing of it stays, and it runs again after a restart at attempt 1',
    async (kind) => {
      const store = await engine.store()
      const app = store.app()
      let signalled: AbortSignal | undefined
      const attempts: number[] = []
      if (kind === 'apply') {
        app.consume(steps, 'g', async ({ id }, { tx, signal, attempt }) => {
          attempts.push(attempt)
          await store.write(tx, 'insert into effect values (?, 1)', id)
          signalled = signal
          await new Promise(() => undefined)
        })
      } else {
        app.consume(steps, {
          group: 'g',
          semantics: 'at-least-once',
          receive: async (_step, { signal, attempt }) => {
            attempts.push(attempt)
            signalled = signal
            await new Promise(() => undefined)
          },
        })
      }
      await app.publish(steps, { id: 'x' })
      await app.start()
      await until(() => signalled !== undefined, 'the handler')
      const startedMs = performance.now()
      await app.stop({ drainMs: 0 })
      expect(performance.now() - startedMs).toBeLessThan(2_000)
      expect(signalled?.aborted).toBe(true)
      expect(await store.effects()).toEqual([])
      const next = store.app()
      next.consume(steps, {
        group: 'g',
        semantics: 'at-least-once',
        receive: (_step, { attempt }) => void attempts.push(attempt),
      })
      await next.start()
      await next.idle()
      expect(attempts).toEqual([1, 1])
    },
  )

  test('what was published before stop is durable, also when stop is called in the same turn', async () => {
    const store = await engine.store('')
    const app = store.app()
    const publishing = Promise.all(some(50).map(({ data }) => app.publish(steps, data)))
    await app.stop()
    expect((await publishing).map((receipt) => receipt.status)).toEqual(Array(50).fill('accepted'))
    // The last connection takes the log with it: nothing was opened behind the back of stop().
    if (store.config.engine === 'sqlite') expect(existsSync(`${store.config.file}-wal`)).toBe(false)
    expect(await store.column(`select count(*) from ${store.log}`)).toEqual([50])
  })

  test('after stop everything is refused with APP_STOPPED, and stopping again is fine', async () => {
    const store = await engine.store('')
    const app = store.app()
    await app.start()
    await Promise.all([app.stop(), app.stop()])
    await app.stop()
    const refused = [
      app.publish(steps, { id: 'x' }),
      app.transaction(() => undefined),
      app.status(),
      app.attention.list(),
      app.backup(join(temporaryFolder(), 'copy')),
      app.groups.remove('steps', 'g'),
    ]
    for (const each of refused) expect(await rejection(each)).toMatchObject({ code: 'APP_STOPPED' })
    expect((await rejection(app.start())).message).toMatch(/was stopped/)
  })

  test('an app that was never used stops without opening its database', async () => {
    const store = await engine.store('')
    await store.app().stop()
    await using app = store.app()
    expect(app.consumers).toEqual([])
    expect((await rejection(store.rows(`select * from ${store.table('meta')}`))).message).toMatch(/no such table|does not exist/)
  })

  test('the end of a using block stops the app', async () => {
    const store = await engine.store()
    let kept: App<EngineTx> | undefined
    {
      await using app = store.app()
      kept = app
      app.consume(steps, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
      await app.start()
      await app.publish(steps, { id: 'x' })
      await app.idle()
    }
    expect(await rejection(kept.publish(steps, { id: 'y' }))).toMatchObject({ code: 'APP_STOPPED' })
    expect(await store.effects()).toEqual(['x'])
  })
})
