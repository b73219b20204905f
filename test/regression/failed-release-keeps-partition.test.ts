import { expect, test } from 'vitest'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, OnefoldOptions } from '../../src/index.ts'
import { OnefoldError, onefold, topic } from '../../src/index.ts'
import { stopAfterwards, TemporaryFile } from '../support/temporary.ts'
import { until } from '../support/until.ts'

/**
 * A process that is to give up a partition, and whose disk fails at that moment, went on extending a lease nobody worked under,
 * and no other process may take what a living one holds: the partition stood still until that process ended.
 */
test('a consumer whose disk fails while it gives up its partitions: the other one gets them all the same', async () => {
  const file = new TemporaryFile()
  const notes = topic<{ n: number }>('notes', { key: (note) => `k${note.n}` })
  let failing = true
  let failed = 0
  const database = sqlite(file.path)
  const unlucky = Object.assign(Object.create(database) as typeof database, {
    open: database.open.bind(database),
    read: database.read.bind(database),
    close: database.close.bind(database),
    insideTransaction: database.insideTransaction.bind(database),
    maintain: database.maintain.bind(database),
    write: ((work, options) => {
      if (!failing || !options.what.startsWith('release ')) return database.write(work, options)
      failed++
      return Promise.reject(new OnefoldError('COMMIT_UNKNOWN', 'the disk failed', { outcome: 'unknown' }))
    }) as typeof database.write,
  })
  const consume = (on: OnefoldOptions<SqliteTx>['database']): App<SqliteTx> => {
    const app = stopAfterwards(onefold({ database: on }))
    app.consume(notes, 'readers', (note, { tx }) => void tx.run('insert into effect (id) values (?)', `${note.n}`))
    return app
  }
  const applied = async (app: App<SqliteTx>, from: number): Promise<void> => {
    const some = Array.from({ length: 40 }, (_, index) => ({ data: { n: from + index } }))
    await app.publishMany(notes, some)
    await until(
      () => file.effects().length === from + some.length,
      () => `all are applied: ${file.effects().length}`,
    )
  }
  const first = consume(unlucky)
  await first.start()
  await applied(first, 0)
  const second = consume(sqlite(file.path))
  await second.start()
  await until(
    () => failed > 0,
    () => 'some of the partitions are to be given up',
  )
  failing = false
  await applied(first, 40)
  expect(new Set(file.effects()).size).toBe(80)
})
