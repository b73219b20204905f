import { expect, test } from 'vitest'
import type { Assignment } from '../../src/broker/broker.ts'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import { OnefoldError, topic } from '../../src/index.ts'
import type { Context, Store } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { until } from '../support/until.ts'

const notes = topic<{ id: string }>('notes', { partitions: 1, id: (note) => note.id })

describeOnEngines('a broker that fails', (engine) => {
  test('while the parked messages are looked at: the partition is given up and taken again, and the process goes on', async () => {
    const store = await engine.store()
    const { app, failures } = failsDuringTheLookForParkedMessages(store)
    app.consume(notes, {
      group: 'g',
      apply: ({ id }, { tx }: Context) => store.write(tx, 'insert into effect values (?, 1)', id),
    })
    await app.start()
    await until(
      () => failures() > 0 && store.events.some((event) => event.message.includes('the connection to the broker was lost')),
      () => JSON.stringify(store.events),
    )
    // Vitest fails the run if a rejection was left unhandled.
    await app.publish(notes, { id: 'a' })
    await until(
      async () => (await store.effects()).length > 0,
      () => JSON.stringify(store.events),
    )
    expect(failures()).toBe(1)
  })
})

/** Its broker's first `next` rejects while the consumer, told at that moment of a commit, reads what is parked. */
function failsDuringTheLookForParkedMessages(store: Store) {
  let failures = 0
  let fail: (() => void) | undefined
  const database = store.database()
  const listeners = new Set<Parameters<typeof database.changes.onChange>[0]>()
  const onChange = database.changes.onChange.bind(database.changes)
  Object.assign(database.changes, {
    onChange(listener: Parameters<typeof onChange>[0]) {
      listeners.add(listener)
      return onChange(listener)
    },
  })
  const read = database.read.bind(database)
  database.read = async (look) => {
    if (fail !== undefined) {
      failures++
      fail()
      fail = undefined
      // An unhandled rejection is found out when nothing else is left to do at once.
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return read(look)
  }
  const failingOnce = (assignment: Assignment): Assignment => {
    const next = assignment.next.bind(assignment)
    assignment.next = (limit, signal) => {
      if (failures > 0) return next(limit, signal)
      for (const listener of listeners) listener(undefined)
      return new Promise((_, reject) => {
        fail = () => reject(new OnefoldError('DATABASE_IO', 'the connection to the broker was lost', { retry: 'later' }))
      })
    }
    return assignment
  }
  const broker = inDatabaseBroker(database)
  const subscribe = broker.subscribe.bind(broker)
  broker.subscribe = async function* (...request) {
    for await (const assignment of subscribe(...request)) yield failingOnce(assignment)
  }
  return { app: store.app({ database, broker }), failures: () => failures }
}
