import { expect, test } from 'vitest'
import { Ownership } from '../../src/ownership/ownership.ts'
import { describeOnEngines } from '../support/engines.ts'
import { ShiftedRuntime } from '../support/shifted-runtime.ts'

const window = { ms: 8 * 3_600_000, maxIds: 1_000_000 }

/**
 * A process that others had declared gone was enrolling anew when it was told to stop. It left as who it had been, and was then
 * enrolled: a member in good standing, to whom partitions were assigned until its lease was over. `prove` found it.
 */
describeOnEngines('stopped and still enrolled', (engine) => {
  test('a process that stops while it enrols anew: it is nobody’s member when it has stopped', async () => {
    const store = await engine.store()
    const { runtime } = new ShiftedRuntime()
    const database = store.database()
    await database.open({ runtime, dedupWindow: window })
    const enrols = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    let enrolled = 0
    const slow = new Proxy(database, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'write') return value.bind(target)
        return async (work: never, options: { what: string }) => {
          if (options.what === 'enroll' && ++enrolled === 2) {
            enrols.resolve()
            await gate.promise
          }
          return target.write(work, options)
        }
      },
    })
    const ownership = new Ownership(slow as never, runtime, 200)
    await ownership.start()
    await ownership.join('orders/ship')
    await database.write((session) => session.ownership.evict([1n]), { what: 'declared gone' })
    await enrols.promise
    const stopped = ownership.stop()
    gate.resolve()
    await stopped
    expect(await database.read((stores) => stores.ownership.owners())).toEqual([])
    expect(await database.read((stores) => stores.ownership.members('orders/ship'))).toEqual([])
    await database.close()
  })
})
