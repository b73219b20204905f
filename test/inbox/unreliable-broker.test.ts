import { describe, expect, test } from 'vitest'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import type { Envelope } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import { emptyHeaders } from '../../src/message.ts'
import { unreliableBroker } from '../../src/testing/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { scripted } from '../support/scripted-broker.ts'
import { until } from '../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}

const steps = topic<Step>('steps', { partitions: 3, id: (step) => step.id, key: (step) => step.key })
const echoes = topic<{ of: string }>('echoes', { partitions: 1, id: (echo) => echo.of })

describeOnEngines('inbox', (engine) => {
  describe.each([1, 2, 3])('behind a broker that redelivers, duplicates and reorders (seed %i)', (seed) => {
    test('each effect happens once, first applications keep the order per key, and what is published arrives once', async () => {
      const store = await engine.store('create table effect (id text, key text); create table heard (id text)')
      const brokerStore = await engine.store('')
      const all = Array.from({ length: 400 }, (_, number) => ({ id: `${number}`, key: `k${number % 9}` }))
      let delivered = 0
      let again = 0
      // Three lives: forgotten acknowledgements come back after a restart.
      for (let life = 0; life < 3; life++) {
        const broker = unreliableBroker(inDatabaseBroker(brokerStore.database()), {
          seed: seed * 10 + life,
          duplicate: 0.3,
          reorder: 0.4,
          redeliver: 0.2,
          forget: 0.3,
        })
        const app = store.app({ broker })
        app.consume(steps, {
          group: 'g',
          batchSize: 40,
          apply: handler(function* ({ id, key }: Step, { tx, publish }: Context) {
            yield store.write(tx, 'insert into effect values (?, ?)', id, key)
            publish(echoes, { of: id })
          }),
        })
        app.consume(echoes, 'h', ({ of }, { tx }) => store.write(tx, 'insert into heard values (?)', of))
        await app.start()
        await app.publishMany(
          steps,
          all.slice(0, (life + 1) * 133 + 1).map((data) => ({ data })),
        )
        await until(
          async () => (await store.column<number>('select count(*) from heard'))[0]! >= (life + 1) * 133 + 1,
          'all heard',
          8_000,
        )
        await app.idle()
        await app.stop()
        const counts = broker.counts()
        delivered += counts.delivered
        again += counts.duplicated + counts.redelivered
      }
      expect(again).toBeGreaterThan(100)
      expect(delivered).toBeGreaterThan(799)
      const effects = await store.column('select id from effect')
      expect(effects).toHaveLength(400)
      expect(new Set(effects).size).toBe(400)
      expect(await store.column('select count(*) from heard group by id')).toEqual(Array(400).fill(1))
      for (let key = 0; key < 9; key++) {
        expect(await store.column(`select id from effect where key = ? order by ${store.inOrder}`, `k${key}`)).toEqual(
          all.filter((step) => step.key === `k${key}`).map((step) => step.id),
        )
      }
      const suppressed = (await store.column<number>(`select sum(suppressed) from ${store.table('checkpoint')}`))[0] ?? 0
      expect(suppressed).toBeGreaterThan(100)
    })
  })

  const envelope = (id: string, more: Partial<Envelope> = {}): Envelope => ({
    id,
    source: 's',
    type: 'steps',
    timeMs: Date.now(),
    headers: emptyHeaders,
    json: JSON.stringify({ id, key: 'k' }),
    ...more,
  })

  describe('what the inbox makes of what a broker hands over', () => {
    const run = async (envelopes: readonly Envelope[], subject = steps) => {
      const store = await engine.store()
      const app = store.app({ broker: scripted(envelopes) })
      app.consume(subject, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
      await app.start()
      await until(
        async () => (await store.column<number>(`select count(*) from ${store.table('checkpoint')}`))[0] === 1,
        'the batch',
      )
      await app.idle()
      return { effects: await store.effects(), attention: await app.attention.list(), groups: await app.groups.list() }
    }

    test('the same identity twice in one batch: applied once', async () => {
      const { effects, groups } = await run([envelope('a'), envelope('b'), envelope('a')])
      expect(effects).toEqual(['a', 'b'])
      expect(groups).toMatchObject([{ applied: 2, suppressed: 1 }])
    })

    test('the same identity from two sources: applied for each', async () => {
      expect((await run([envelope('a'), envelope('a', { source: 'other' })])).effects).toEqual(['a', 'a'])
    })

    test('the same identity with other data goes to attention as ID_REUSED; the first is applied', async () => {
      const { effects, attention } = await run([
        envelope('a'),
        envelope('a', { json: '{"id":"changed","key":"k"}' }),
        envelope('b'),
      ])
      expect(effects).toEqual(['a', 'b'])
      expect(attention).toMatchObject([
        { envelope: { id: 'a' }, errorMessage: expect.stringMatching(/received before with other data/) },
      ])
    })

    test("with idReuse 'ignore' it is a repeat", async () => {
      const { effects, attention } = await run(
        [envelope('a'), envelope('a', { json: '{"id":"changed","key":"k"}' })],
        topic<Step>('steps', { idReuse: 'ignore' }),
      )
      expect(effects).toEqual(['a'])
      expect(attention).toEqual([])
    })

    test('numbered messages: 10 then 4 both apply, repeats do not, and the id beside the number does not count', async () => {
      const numbered = (sequence: bigint, id = `${sequence}`): Envelope => envelope(id, { sequence })
      const { effects } = await run([numbered(10n), numbered(4n), numbered(10n), numbered(11n), numbered(4n), numbered(5n)])
      expect(effects).toEqual(['10', '4', '11', '5'])
    })

    test('a repeat of a message that is parked is not applied beside it', async () => {
      const store = await engine.store()
      const app = store.app({
        broker: scripted([envelope('a', { key: 'k' }), envelope('b', { key: 'k' }), envelope('a', { key: 'k' })]),
      })
      let broken = true
      app.consume(steps, {
        group: 'g',
        maxAttempts: 1,
        apply: handler(function* ({ id }: Step, { tx }: Context) {
          yield store.write(tx, 'insert into effect values (?, 1)', id)
          if (id === 'a' && broken) throw new Error('no')
        }),
      })
      await app.start()
      await until(async () => (await app.attention.list()).length === 1, 'attention')
      broken = false
      await app.attention.redrive((await app.attention.list())[0]!.id)
      await until(async () => (await store.effects()).length === 2, 'both')
      await app.idle()
      expect(await store.effects()).toEqual(['a', 'b'])
    })
  })
})
