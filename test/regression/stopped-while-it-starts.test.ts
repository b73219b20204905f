import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { AppEvent } from '../../src/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { temporaryFolder } from '../support/temporary.ts'

const orders = topic<{ id: string }>('orders', { id: ({ id }) => id })

/**
 * An app that was stopped while it declared its group went on to start: its maintenance took a lease as nobody, which the next
 * process counted as an unclean end, and asked a closed database ever after. `prove` found it.
 */
test('an app that is stopped while it starts: start() says so, and nothing of it goes on', async () => {
  const folder = temporaryFolder()
  const database = sqlite(`${folder}/app.db`)
  const events: AppEvent[] = []
  let stopping: Promise<void> | undefined
  let usedAfter = 0
  let stopped = false
  const watched = new Proxy(database, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        if (stopped) usedAfter++
        if (name === 'write' && (given[1] as { what: string }).what.startsWith('declare group')) stopping = app.stop()
        return value.apply(target, given)
      }
    },
  })
  const app = onefold({ database: watched, onEvent: (event) => void events.push(event) })
  app.consume(orders, 'ship', () => undefined)
  await expect(app.start()).rejects.toMatchObject({ code: 'APP_STOPPED' })
  await stopping
  stopped = true
  // Longer than maintenance waits before it looks again.
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect(usedAfter).toBe(0)
  expect(events.filter(({ kind }) => kind === 'database-error')).toEqual([])
})
