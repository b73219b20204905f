import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, TerminalError, topic } from '../../src/index.ts'
import { prove } from '../../src/testing/index.ts'

const tasks = topic<{ id: string }>('tasks', { id: ({ id }) => id })
const application = () => {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(tasks, {
    group: 'group',
    semantics: 'at-least-once',
    receive({ id }) {
      if (id === 'bad') throw new TerminalError('this one never works')
    },
  })
  return app
}

/** The commit that acknowledges what `receive` has handled took effect, and its answer was an error. The repeat parked again. */
test('receive: the commit that parks a message takes effect and answers with an error: it waits for a person once', async () => {
  const options = { workload: ['bad', 'good'].map((id) => ({ topic: tasks, data: { id } })), deviations: 1, workers: 1 }
  const { schedules } = await prove(application, { ...options, maxSchedules: 60 })
  expect(schedules).toBe(60)
})

test('the same behind a broker whose messages have no offsets', async () => {
  const options = { workload: ['bad', 'good'].map((id) => ({ topic: tasks, data: { id } })), deviations: 1, workers: 1 }
  const { schedules } = await prove(application, { ...options, broker: 'queue', maxSchedules: 60 })
  expect(schedules).toBe(60)
})
