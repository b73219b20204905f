import { expect, test } from 'vitest'
import { TerminalError, topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'
import { until } from '../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}
const steps = topic<Step>('steps', { partitions: 1, id: (step) => step.id, key: (step) => step.key })

/**
 * A consumer that receives outside of transactions found a key held, and decided that a message of that key waits. Until that was
 * committed a person discarded the message that held the key, and let go whoever waited: nobody did yet. The message was then parked
 * behind nobody, all later ones of its key behind it, and the app called itself idle.
 */
describeOnEngines('parked behind nobody', (engine) => {
  test('at least once: who held the key is discarded before the message that waits for it is parked: it is received all the same', async () => {
    const app = (await engine.store('')).app()
    const received: string[] = []
    const gate = Promise.withResolvers<void>()
    let slow = false
    app.consume(steps, {
      group: 'g',
      semantics: 'at-least-once',
      concurrency: 2,
      receive: async ({ id }) => {
        if (id === 'head') throw new TerminalError('no')
        if (id === 'slow') {
          slow = true
          await gate.promise
        }
        received.push(id)
      },
    })
    // Keeps what it refuses: in another group a key may be held for as long as it likes.
    app.consume(steps, {
      group: 'other',
      apply: ({ id }) => {
        if (id === 'head') throw new TerminalError('no')
      },
    })
    await app.start()
    await app.publish(steps, { id: 'head', key: 'a' })
    await app.idle()
    const head = (await app.attention.list()).find(({ group }) => group === 'g')
    await app.publishMany(steps, [{ data: { id: 'slow', key: 'b' } }, { data: { id: 'waits', key: 'a' } }])
    await until(() => slow, 'both are in hand')
    await app.attention.discard(head!.id, { by: 'mia', reason: 'no longer wanted' })
    gate.resolve()
    await until(() => received.includes('waits'), 'the one that waited')
    await app.publish(steps, { id: 'next', key: 'a' })
    await app.idle()
    expect(received).toEqual(['slow', 'waits', 'next'])
    const { groups } = await app.status()
    expect(groups.find(({ group }) => group === 'g')).toMatchObject({ applied: 3, parked: 0, attention: 0, lag: 0 })
  })
})
