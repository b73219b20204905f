import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Envelope } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import { withOutboxNumber } from '../../src/outbox-number.ts'
import type { Point } from '../../src/points.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Context, Store } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { QueueBroker } from '../support/queue-broker.ts'
import { scripted } from '../support/scripted-broker.ts'
import { until } from '../support/until.ts'
import { minuteMs, published, WindowDatabase } from '../support/window-database.ts'

interface Note {
  readonly id: string
}
const notes = topic<Note>('t', { partitions: 1, id: (note) => note.id })
const startMs = Date.now()

const numbered = (number: number, id = `${number}`, more: Partial<Envelope> = {}): Envelope =>
  withOutboxNumber(
    { ...published(id, startMs), json: JSON.stringify({ id }), ...more },
    { series: 'x/t/0', number: BigInt(number) },
  )

/** All ids that the group has received so far are forgotten: others needed the room. */
async function forget(store: Store): Promise<void> {
  const window = await WindowDatabase.open({ make: store.database, maxIds: 1 })
  await window.run(3 * minuteMs)
  await window.claim(published(`filler ${Math.random()}`, startMs + 10 * minuteMs))
  await window.run(3 * minuteMs)
  await window.close()
}

describeOnEngines('numbers of an outbox, at the group that receives', (engine) => {
  async function run(
    store: Store,
    envelopes: readonly Envelope[],
    semantics: 'effectively-once' | 'at-most-once' = 'effectively-once',
  ) {
    const app = store.app({ broker: scripted(envelopes) })
    const ran: string[] = []
    const apply = { apply: ({ id }: Note, { tx }: Context) => store.write(tx, 'insert into effect values (?, 1)', id) }
    const receive = { semantics, receive: ({ id }: Note) => void ran.push(id) }
    const handled = async (): Promise<number> => {
      const [all] = await store.column<number>(
        `select coalesce(sum(applied + suppressed), 0) + (select count(*) from ${store.table('parked')}) from ${store.table('checkpoint')}`,
      )
      return all ?? 0
    }
    const before = await handled().catch(() => 0)
    app.consume(notes, { group: 'g', ...(semantics === 'at-most-once' ? receive : apply) } as never)
    await app.start()
    await until(
      async () => (await handled()) - before >= envelopes.length,
      async () => `${await handled()} of ${before + envelopes.length}`,
    )
    await app.idle()
    const found = { effects: await store.effects(), ran, attention: await app.attention.list(), groups: await app.groups.list() }
    await app.stop()
    return found
  }

  test('in any order, with repeats: each is applied once; who joins late begins with the first it sees', async () => {
    const store = await engine.store()
    const { effects, groups } = await run(
      store,
      [10, 4, 10, 11, 4, 5].map((number) => numbered(number)),
    )
    expect(effects).toEqual(['10', '4', '11', '5'])
    expect(groups).toMatchObject([{ applied: 4, suppressed: 2 }])
    expect(await store.column(`select ranges from ${store.table('sequence')}`)).toEqual(['[4,5,10,11]'])
  })

  test('two rows with one id are two numbers and one message: applied once, and both numbers are received', async () => {
    const store = await engine.store()
    const { effects, attention } = await run(store, [numbered(1, 'a'), numbered(2, 'a'), numbered(3, 'b')])
    expect(effects).toEqual(['a', 'b'])
    expect(attention).toEqual([])
    expect(await store.column(`select ranges from ${store.table('sequence')}`)).toEqual(['[1,3]'])
  })

  test.each(['effectively-once', 'at-most-once'] as const)(
    'what comes again when the window has forgotten its id is known by its number (%s); without one a person has to say',
    async (semantics) => {
      const store = await engine.store()
      const plain = { ...numbered(1, 'plain'), headers: {} }
      await run(store, [numbered(1, 'a'), numbered(2, 'b'), plain], semantics)
      await forget(store)
      const { effects, ran, attention, groups } = await run(
        store,
        [numbered(2, 'b'), numbered(1, 'a'), numbered(3, 'c', { timeMs: startMs + 20 * minuteMs }), plain],
        semantics,
      )
      if (semantics === 'at-most-once') expect(ran).toEqual(['c'])
      else {
        expect(effects).toEqual(['a', 'b', 'plain', 'c'])
        expect(attention).toMatchObject([{ kind: 'late-message', envelope: { id: 'plain' } }])
        expect(groups).toMatchObject([{ applied: 4, suppressed: 2 }])
      }
    },
  )

  test('a used number with an id that is certainly new is not suppressed: a person hears of it, and can have it applied', async () => {
    const store = await engine.store()
    const { effects, attention } = await run(store, [numbered(1, 'a'), numbered(1, 'other'), numbered(2, 'b')])
    expect(effects).toEqual(['a', 'b'])
    expect(attention).toMatchObject([
      {
        kind: 'dead-letter',
        envelope: { id: 'other' },
        errorMessage: expect.stringMatching(/number 1 of outbox x\/t\/0.*older state/),
      },
    ])
    const app = store.app({ broker: scripted([]) })
    app.consume(notes, 'g', ({ id }, { tx }) => store.write(tx as never, 'insert into effect values (?, 1)', id))
    await app.start()
    await app.attention.redrive(attention[0]?.id ?? '')
    await until(async () => (await store.effects()).length === 3, 'it is applied')
    await app.stop()
  })

  test('what is parked, given up or late is received: it comes again in vain, also when its id is forgotten', async () => {
    const store = await engine.store()
    const broker = new QueueBroker()
    const app = store.app({ broker })
    const calls: string[] = []
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      apply: handler(function* ({ id }: Note, { tx }: Context) {
        calls.push(id)
        yield store.write(tx, 'insert into effect values (?, 1)', id)
        if (id === 'bad') throw new Error('no')
      }),
    })
    await app.start()
    for (const one of [numbered(1, 'bad'), numbered(2, 'good')]) broker.hand('t', one)
    await until(async () => (await app.attention.list()).length === 1, 'it is given up')
    const [item] = await app.attention.list()
    await app.attention.discard(item?.id ?? '', { by: 'ann', reason: 'wrong' })
    await app.stop()
    await forget(store)
    const { effects, attention } = await run(store, [numbered(1, 'bad'), numbered(2, 'good')])
    expect(calls).toEqual(['bad', 'good'])
    expect(effects).toEqual(['good'])
    expect(attention).toEqual([])
  })

  test('over the bound on gaps: this message alone is refused, and as GAPS_EXCEEDED; a known id is a repeat all the same', async () => {
    const store = await engine.store('')
    const window = await WindowDatabase.open({ make: store.database })
    const odd = Array.from({ length: 10_000 }, (_, n) => numbered(2 * n + 1))
    expect(new Set(await window.claim(...odd))).toEqual(new Set(['new']))
    const [over, again, repeat, next] = await window.claim(
      numbered(30_001),
      numbered(30_001),
      numbered(30_003, '1'),
      numbered(20_000),
    )
    expect(over).toMatchObject({ code: 'GAPS_EXCEEDED', details: { sequence: '30001' } })
    expect(again).toBe('seen')
    expect(repeat).toBe('seen')
    expect(next).toBe('new')
    await window.close()
  }, 30_000)

  test('numbers of producers and of outboxes are apart, also where a message has both; a rollback takes both back', async () => {
    const store = await engine.store('')
    const window = await WindowDatabase.open({ make: store.database })
    const both = (number: number, sequence: bigint): Envelope => numbered(number, `${sequence}`, { sequence })
    const undone = window.write(async (session) => {
      expect(await session.inbox.claim({ topic: 't', group: 'g' }, [both(1, 7n), numbered(2, 'x')])).toEqual(['new', 'new'])
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    expect(await window.claim(both(1, 7n), numbered(2, 'x'))).toEqual(['new', 'new'])
    // Its number is new, and what its producer numbered is not: the same message, published twice.
    expect(await window.claim(both(3, 7n))).toEqual(['seen'])
    expect(await window.claim(both(3, 7n), both(4, 8n))).toEqual(['seen', 'new'])
    await window.close()
  })

  test('whatever arrives how often, in whatever order and batches, and whatever is forgotten meanwhile: each number counts once', async () => {
    const arrivals = fc.array(fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 10,
    })
    await fc.assert(
      fc.asyncProperty(arrivals, fc.integer({ min: 0, max: 9 }), async (batches, forgetAt) => {
        const store = await engine.store('')
        const window = await WindowDatabase.open({ make: store.database, maxIds: 1 })
        const received = new Set<number>()
        let forgotten = false
        for (const [index, batch] of batches.entries()) {
          if (index === forgetAt) {
            await window.run(3 * minuteMs)
            await window.claim(published('filler', startMs + 10 * minuteMs))
            await window.run(3 * minuteMs)
            forgotten = true
          }
          const statuses = await window.claim(...batch.map((number) => numbered(number)))
          for (const [place, number] of batch.entries()) {
            const fresh = forgotten ? ['new', 'too-old'] : ['new']
            expect(received.has(number) ? ['seen'] : fresh).toContain(statuses[place])
            received.add(number)
          }
        }
        await window.close()
        await store.close()
      }),
      { numRuns: engine.name === 'sqlite' ? 25 : 8 },
    )
  }, 120_000)

  test('killed between the broker’s answer and the removal of the row, and its id forgotten: sent again with its number, and not applied again', async () => {
    const store = await engine.store()
    const broker = new QueueBroker()
    let dead = true
    const life = () => {
      const reached = (point: Point): void => {
        if (dead && point === 'relay:sent') throw new Error('dead')
      }
      const app = store.app({ broker, runtime: { ...nodeRuntime(), reached } })
      app.consume(notes, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
      return app
    }
    const first = life()
    await first.start()
    await first.transaction(({ publish }) => publish(notes, { id: 'a' }))
    await until(async () => (await store.effects()).length === 1, 'it is applied')
    await first.stop()
    await forget(store)
    const copies = broker.taken.length
    dead = false
    const second = life()
    await second.start()
    await until(() => broker.taken.length > copies, 'it is sent again')
    await second.idle()
    const suppressed = async (): Promise<number> => (await second.groups.list())[0]?.suppressed ?? 0
    await until(
      async () => (await suppressed()) === broker.taken.length - 1,
      async () => `${await suppressed()}`,
    )
    expect(new Set(broker.numbers().map(([, number]) => number?.number))).toEqual(new Set([1n]))
    expect(await store.effects()).toEqual(['a'])
    expect(await second.attention.list()).toEqual([])
    await second.stop()
  })
})
