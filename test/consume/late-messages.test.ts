import { describe, expect, test } from 'vitest'
import type { App, ConsumeOptions, Envelope, Topic } from '../../src/index.ts'
import { call, topic } from '../../src/index.ts'
import { emptyHeaders } from '../../src/message.ts'
import type { Context, Store } from '../support/engines.ts'
import { describeOnEngines } from '../support/engines.ts'
import { scripted } from '../support/scripted-broker.ts'
import { until } from '../support/until.ts'
import { minuteMs, published, WindowDatabase } from '../support/window-database.ts'

interface Note {
  readonly id: string
}
const notes = topic<Note>('t', { partitions: 1, key: () => 'k' })
const startMs = Date.now()

const envelope = (id: string, key: string, minutes: number, more: Partial<Envelope> = {}): Envelope => ({
  id,
  source: 's',
  key,
  type: 't',
  timeMs: startMs + minutes * minuteMs,
  headers: emptyHeaders,
  json: JSON.stringify({ id }),
  ...more,
})

type Settings = Partial<ConsumeOptions<never, Note>> & Record<string, unknown>

/** One life of a group behind a broker that hands over just these. */
async function life(store: Store, envelopes: readonly Envelope[], settings: Settings = {}, subject: Topic<Note, Note> = notes) {
  const app = store.app({ broker: scripted(envelopes) })
  const done = async (): Promise<number> => {
    const [handled] = await store.column<number>(
      `select coalesce(sum(applied + suppressed), 0) + (select count(*) from ${store.table('parked')}) from ${store.table('checkpoint')}`,
    )
    return handled ?? 0
  }
  // Before the first life there are no tables.
  const before = await done().catch(() => 0)
  const receive = settings.receive !== undefined || settings.applyBatch !== undefined
  app.consume(subject, {
    group: 'g',
    ...(receive
      ? {}
      : {
          apply: ({ id }: Note, { tx }: Context) => store.write(tx, 'insert into effect values (?, 1)', id),
        }),
    ...settings,
  } as never)
  await app.start()
  await until(
    async () => (await done()) - before >= envelopes.length,
    async () => `${await done()} of ${before + envelopes.length}`,
  )
  await app.idle()
  return app
}

/** All that the group has received so far is forgotten: ids that came later needed the room. */
async function forget(store: Store): Promise<void> {
  const window = await WindowDatabase.open({ make: store.database, maxIds: 1 })
  await window.run(3 * minuteMs)
  await window.claim(published(`filler ${Math.random()}`, startMs + minuteMs))
  await window.run(3 * minuteMs)
  await window.close()
}

const open = (app: App<never>) => app.attention.list() as Promise<readonly { id: string; kind: string; envelope: Envelope }[]>

describeOnEngines('late messages', (engine) => {
  async function afterForgetting(envelopes: readonly Envelope[], settings: Settings = {}, subject: Topic<Note, Note> = notes) {
    const store = await engine.store()
    const first = await life(store, [envelope('a', 'k', 0), envelope('b', 'k2', 0)], settings, subject)
    await first.stop()
    await forget(store)
    const app = (await life(store, envelopes, settings, subject)) as unknown as App<never>
    return { store, app }
  }

  describe('a message that may have been applied before, and is no longer recognised', () => {
    const redelivered = [envelope('a', 'k', 0), envelope('c', 'k', 5), envelope('d', 'k2', 5), envelope('a', 'k', 0)]

    test.each(['hold', 'skip'] as const)(
      'waits for a person and holds its key (onExhausted %s); other keys go on',
      async (onExhausted) => {
        const { store, app } = await afterForgetting(redelivered, { onExhausted })
        expect(await store.effects()).toEqual(['a', 'b', 'd'])
        const items = await app.attention.list()
        expect(items).toMatchObject([
          {
            kind: 'late-message',
            attempts: 0,
            behind: 1,
            envelope: { id: 'a' },
            errorMessage: expect.stringContaining(new Date(startMs).toISOString()),
          },
        ])
        expect(items[0]?.errorMessage).toMatch(/message a of topic t \(source s\).*'happened'.*'did-not-happen'/)
        expect(await app.groups.list()).toMatchObject([{ parked: 1, attention: 1, suppressed: 1 }])
        expect(store.events.filter(({ kind }) => kind === 'attention')).toMatchObject([
          { id: 'a', error: { code: 'MESSAGE_LATE', outcome: 'unknown' }, message: expect.stringMatching(/^not attempted, /) },
        ])
      },
    )

    test('settled as happened: it is not applied again, and its key goes on', async () => {
      const { store, app } = await afterForgetting(redelivered)
      const [item] = await open(app)
      await app.attention.settle(item?.id ?? '', { as: 'happened' }, { by: 'ann' })
      await app.idle()
      expect(await store.effects()).toEqual(['a', 'b', 'd', 'c'])
      expect(await open(app)).toEqual([])
    })

    test('settled as not having happened: it is applied, before what waits behind it', async () => {
      const { store, app } = await afterForgetting(redelivered)
      const [item] = await open(app)
      await app.attention.settle(item?.id ?? '', { as: 'did-not-happen' }, { by: 'ann' })
      await app.idle()
      expect(await store.effects()).toEqual(['a', 'b', 'd', 'a', 'c'])
    })

    test('behind a parked message of its key it waits for a person all the same, and is applied in its turn', async () => {
      const store = await engine.store()
      await (await life(store, [envelope('a', 'k', 0)])).stop()
      await forget(store)
      let broken = true
      const apply = ({ id }: Note, { tx }: Context) => {
        if (broken) throw new Error('no')
        return store.write(tx, 'insert into effect values (?, 1)', id)
      }
      const app = (await life(store, [envelope('first', 'k', 5), envelope('a', 'k', 0), envelope('last', 'k', 5)], {
        maxAttempts: 1,
        apply,
      })) as unknown as App<never>
      const items = await open(app)
      expect(items.map(({ kind, envelope: { id } }) => `${kind} ${id}`)).toEqual(['dead-letter first', 'late-message a'])
      broken = false
      await app.attention.settle(items[1]?.id ?? '', { as: 'did-not-happen' }, { by: 'ann' })
      await app.idle()
      expect(await store.effects()).toEqual(['a'])
      await app.attention.redrive(items[0]?.id ?? '')
      await until(
        async () => (await store.effects()).length === 4,
        async () => (await store.effects()).join(),
      )
      expect(await store.effects()).toEqual(['a', 'first', 'a', 'last'])
    })

    test('in a batch handler: what follows it in its key does not overtake it', async () => {
      const applied: string[][] = []
      const { app } = await afterForgetting(
        [envelope('x', 'k', 5), envelope('a', 'k', 0), envelope('c', 'k', 5), envelope('d', 'k2', 5), envelope('e', 'k3', 5)],
        {
          applyBatch: (items: readonly { data: Note }[]) => {
            applied.push(items.map(({ data }) => data.id))
          },
        },
      )
      expect(applied.slice(1)).toEqual([['x', 'd', 'e']])
      expect(await open(app)).toMatchObject([{ kind: 'late-message', envelope: { id: 'a' } }])
    })

    test('its declared calls are made only when a person says that it did not happen', async () => {
      const made: string[] = []
      const calls = {
        mail: call((note: Note) => {
          made.push(note.id)
          return 1
        }),
      }
      const { store, app } = await afterForgetting([envelope('a', 'k', 0), envelope('d', 'k2', 5)], { calls })
      // The first two have different keys: neither waits for the other.
      expect(made.toSorted()).toEqual(['a', 'b', 'd'])
      const [item] = await open(app)
      await app.attention.settle(item?.id ?? '', { as: 'did-not-happen' }, { by: 'ann' })
      await until(async () => (await store.effects()).length === 4, 'the message to go on')
      expect(made.slice(3)).toEqual(['a'])
      expect(await open(app)).toEqual([])
    })

    test('at most once: it is not run; an event tells, and it counts as suppressed', async () => {
      const run: string[] = []
      const { store, app } = await afterForgetting([envelope('a', 'k', 0), envelope('d', 'k2', 5)], {
        semantics: 'at-most-once',
        receive: ({ id }: Note) => void run.push(id),
      })
      await until(() => run.length === 3, 'the runs')
      expect(run).toEqual(['a', 'b', 'd'])
      expect(await open(app)).toEqual([])
      expect(await app.groups.list()).toMatchObject([{ applied: 3, suppressed: 1 }])
      expect(store.events.filter(({ kind }) => kind === 'attempt-failed')).toMatchObject([
        { id: 'a', error: { code: 'MESSAGE_LATE' } },
      ])
    })

    test('a stated time that no calendar has is held as well', async () => {
      const { store, app } = await afterForgetting([envelope('e', 'k', 0, { timeMs: -9e15 })])
      expect(await store.effects()).toEqual(['a', 'b'])
      expect(await open(app)).toMatchObject([{ kind: 'late-message' }])
    })

    test('one that does not fit its schema is late all the same: it may have fitted then', async () => {
      const { app } = await afterForgetting([envelope('a', 'k', 0, { json: 'not JSON' }), envelope('d', 'k2', 5)])
      expect(await open(app)).toMatchObject([{ kind: 'late-message', envelope: { id: 'a' } }])
    })
  })

  test('the id of a message with other data, behind a parked one of its key, goes to attention and is never applied', async () => {
    const store = await engine.store()
    let broken = true
    const app = (await life(
      store,
      [
        envelope('x', 'k2', 0),
        envelope('first', 'k', 0),
        envelope('x', 'k', 0, { json: '{"id":"other"}' }),
        envelope('last', 'k', 0),
      ],
      {
        maxAttempts: 1,
        apply: ({ id }: Note, { tx }: Context) => {
          if (id === 'first' && broken) throw new Error('no')
          return store.write(tx, 'insert into effect values (?, 1)', id)
        },
      },
    )) as unknown as App<never>
    const items = await open(app)
    expect(items.map((item) => item.envelope.id)).toEqual(['first', 'x'])
    broken = false
    await app.attention.redrive(items[0]?.id ?? '')
    await until(async () => (await store.effects()).includes('first'), 'the first')
    await app.idle()
    expect(await store.effects()).toEqual(['x', 'first'])
    await app.attention.discard(items[1]?.id ?? '', { by: 'ann', reason: 'not ours' })
    await until(async () => (await store.effects()).length === 3, 'the last')
    expect(await store.effects()).toEqual(['x', 'first', 'last'])
  })
})
