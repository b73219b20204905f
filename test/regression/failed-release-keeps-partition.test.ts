import { expect, test } from 'vitest'
import type { App, OnefoldOptions } from '../../src/index.ts'
import { OnefoldError, onefold, topic } from '../../src/index.ts'
import type { EngineTx } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { stopAfterwards } from '../support/temporary.ts'
import { until } from '../support/until.ts'

describeOnEngines('leases', (engine) => {
  /**
   * A process that is to give up a partition, and whose disk fails at that moment, went on extending a lease nobody worked under,
   * and no other process may take what a living one holds: the partition stood still until that process ended.
   */
  test('a consumer whose disk fails while it gives up its partitions: the other one gets them all the same', async () => {
    const store = await engine.store()
    const notes = topic<{ n: number }>('notes', { key: (note) => `k${note.n}` })
    let failing = true
    let failed = 0
    const database = store.database()
    const unlucky = Object.assign(Object.create(database) as typeof database, {
      open: database.open.bind(database),
      read: database.read.bind(database),
      appendAtOnce: database.appendAtOnce?.bind(database),
      close: database.close.bind(database),
      insideTransaction: database.insideTransaction.bind(database),
      maintain: database.maintain.bind(database),
      write: ((work, options) => {
        if (!failing || !options.what.startsWith('release ')) return database.write(work, options)
        failed++
        return Promise.reject(new OnefoldError('COMMIT_UNKNOWN', 'the disk failed', { outcome: 'unknown' }))
      }) as typeof database.write,
    })
    const consume = (on: OnefoldOptions<EngineTx>['database']): App<EngineTx> => {
      const app = stopAfterwards(onefold({ database: on }))
      app.consume(notes, 'readers', (note, { tx }) => store.write(tx, 'insert into effect (id) values (?)', `${note.n}`))
      return app
    }
    const applied = async (app: App<EngineTx>, from: number): Promise<void> => {
      const some = Array.from({ length: 40 }, (_, index) => ({ data: { n: from + index } }))
      await app.publishMany(notes, some)
      await until(
        async () => (await store.effects()).length === from + some.length,
        async () => `all are applied: ${(await store.effects()).length}`,
      )
    }
    const first = consume(unlucky)
    await first.start()
    await applied(first, 0)
    const second = consume(store.database())
    await second.start()
    await until(
      () => failed > 0,
      () => 'some of the partitions are to be given up',
    )
    failing = false
    await applied(first, 40)
    expect(new Set(await store.effects()).size).toBe(80)
  })
})
