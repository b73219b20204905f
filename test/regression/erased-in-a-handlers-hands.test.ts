import { expect, test } from 'vitest'
import { call, TerminalError, topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly who: string
}
const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id, key: (note) => note.who })
const by = { by: 'officer', reason: 'asked for on paper' }

describeOnEngines('erased in a handler’s hands', (engine) => {
  /** It was parked with its data, out of the consumer's memory, when the erasure had looked through everything. */
  test('a message is erased while a handler has it, and then fails: its data is not parked, and its key goes on', async () => {
    const store = await engine.store()
    const app = store.app()
    const gate = Promise.withResolvers<void>()
    const received: string[] = []
    app.consume(notes, {
      group: 'g',
      semantics: 'at-least-once',
      concurrency: 2,
      receive: async ({ id }) => {
        received.push(id)
        if (id === 'n1') await gate.promise
        if (id === 'n1') throw new TerminalError('no')
      },
    })
    await app.publishMany(notes, [{ data: { id: 'n1', who: 'anna' } }, { data: { id: 'n2', who: 'bert' } }])
    await app.start()
    await until(() => received.length === 2, 'both are in hand')
    expect(await app.erase(notes, { key: 'anna', ...by })).toMatchObject({ messages: 1, parked: 0 })
    gate.resolve()
    await app.publish(notes, { id: 'n3', who: 'anna' })
    await app.idle()
    expect(received).toEqual(['n1', 'n2', 'n3'])
    for (const table of ['parked', 'attention'])
      expect(await store.rows(`select id from ${store.table(table)}`), table).toEqual([])
    expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0, lag: 0 }])
  })

  /**
   * The turn went on with what it had read: the request was made with the data, and its answer kept where no later erasure would look
   * for it.
   */
  test('a message is erased while a probe asks for its call: the call is not made again, and nothing of it is kept', async () => {
    const store = await engine.store()
    const app = store.app()
    const gate = Promise.withResolvers<void>()
    let asked = false
    const requests: string[] = []
    app.consume(notes, {
      group: 'g',
      backoffMs: 1,
      calls: {
        mail: call(
          ({ id }: Note) => {
            requests.push(id)
            if (requests.length === 1) throw new Error('the connection broke')
            return { sent: id }
          },
          {
            whenUnknown: async () => {
              asked = true
              await gate.promise
              return 'did-not-happen' as const
            },
          },
        ),
      },
      apply: ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id),
    })
    await app.start()
    await app.publish(notes, { id: 'n1', who: 'anna' })
    await until(() => asked, 'the probe')
    expect(await app.erase(notes, { key: 'anna', ...by })).toMatchObject({ messages: 1, parked: 1, calls: 1 })
    gate.resolve()
    await app.idle()
    expect(requests).toEqual(['n1'])
    expect(await store.effects()).toEqual([])
    expect(await store.rows(`select result, lease from ${store.table('call')}`)).toEqual([{ result: null, lease: '' }])
    await app.publish(notes, { id: 'n2', who: 'anna' })
    await app.idle()
    expect(await store.effects()).toEqual(['n2'])
  })
})
