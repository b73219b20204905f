import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, RetryLater, topic } from '../../src/index.ts'
import type { ProveOptions } from '../../src/testing/index.ts'
import { prove } from '../../src/testing/index.ts'

interface Task {
  readonly id: string
  readonly fails: number
}

const tasks = topic<Task>('tasks', { id: ({ id }) => id, key: () => 'one key' })
const application = () => {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(tasks, {
    group: 'group',
    batchSize: 1,
    inlineAttempts: 1,
    backoffMs: 5,
    apply({ id, fails }, { tx, attempt }) {
      if (attempt <= fails) throw new RetryLater({ afterMs: 3 })
      tx.run('insert into done (id) values (?)', id)
    },
  })
  return app
}
const options: ProveOptions = {
  setup: (database) => database.exec('create table done (number integer primary key, id text)'),
  workload: [
    { topic: tasks, data: { id: 'first', fails: 6 } },
    { topic: tasks, data: { id: 'second', fails: 0 } },
  ],
}

/**
 * The commit that parks a message took effect, and its answer was an error. The repeat finds the message suppressed, and the process
 * did not know that its key is held: a later message overtook it.
 */
test('consumer: the commit that parks a message takes effect and answers with an error: its key is held all the same', async () => {
  const { schedules } = await prove(application, { ...options, deviations: 1, workers: 1, maxSchedules: 60 })
  expect(schedules).toBe(60)
})
