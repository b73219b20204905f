import { describe, expect, test } from 'vitest'
import { InDatabaseBroker } from '../../src/broker/in-database/in-database-broker.ts'
import { call, TerminalError, topic } from '../../src/index.ts'
import type { Context, Store } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { onDisk } from '../support/on-disk.ts'
import { rejection, until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly who: string
  readonly text: string
}
const notes = topic<Note>('notes', { partitions: 4, id: (note) => note.id, key: (note) => note.who })
const by = { by: 'officer', reason: 'asked for on paper' }
const nothing = { messages: 0, parked: 0, attention: 0, outbox: 0, scheduled: 0, calls: 0, revisions: 0, traces: 'possible' }

/** SQLite's files can be looked through; where a server keeps its data is not ours to know. */
const looked = (store: Store, text: string): string[] =>
  store.config.engine === 'sqlite' ? onDisk(store.config.file, text) : ['not looked at']

const note = (id: string, who: string, text = `about ${who}`): Note => ({ id, who, text })

describeOnEngines('erase', (engine) => {
  describe('erased before it was applied', () => {
    test.each(['apply', 'applyBatch', 'at-least-once', 'at-most-once'] as const)(
      '%s: never applied, counted as suppressed, and its neighbours go on in order',
      async (how) => {
        const store = await engine.store()
        const app = store.app()
        const seen: string[] = []
        const receive = ({ id }: Note) => void seen.push(id)
        app.consume(
          notes,
          how === 'apply'
            ? { group: 'g', apply: receive }
            : how === 'applyBatch'
              ? { group: 'g', applyBatch: (items) => seen.push(...items.map(({ data }) => data.id)) }
              : { group: 'g', semantics: how, receive },
        )
        for (let number = 1; number <= 9; number++)
          await app.publish(notes, note(`n${number}`, number % 3 === 0 ? 'anna' : 'bert'))
        expect(await app.erase(notes, { key: 'anna', ...by })).toEqual({ ...nothing, messages: 3 })
        await app.start()
        await app.idle()
        expect(seen).toEqual(['n1', 'n2', 'n4', 'n5', 'n7', 'n8'])
        expect((await app.status()).groups).toMatchObject([{ applied: 6, suppressed: 3, lag: 0, parked: 0, attention: 0 }])
        expect(await app.publish(notes, note('n3', 'anna'))).toMatchObject({ status: 'duplicate' })
        expect(await rejection(app.publish(notes, note('n3', 'anna', 'else')))).toMatchObject({ code: 'ID_REUSED' })
        // New messages of the key are messages like any other.
        await app.publish(notes, note('n10', 'anna'))
        await app.idle()
        expect(seen.at(-1)).toBe('n10')
      },
    )

    test('over a broker in another file, the consumer is not troubled by what was erased there', async () => {
      const store = await engine.store()
      const other = await engine.store()
      const producer = other.app()
      for (let number = 1; number <= 4; number++)
        await producer.publish(notes, note(`n${number}`, number % 2 === 0 ? 'anna' : 'bert'))
      expect(await producer.erase('notes', { key: 'anna', ...by })).toMatchObject({ messages: 2 })
      const app = store.app({ broker: new InDatabaseBroker(other.database()) })
      app.consume(notes, 'g', ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id))
      await app.start()
      await until(async () => (await store.effects()).length === 2, 'both')
      await app.idle()
      expect(await store.effects()).toEqual(['n1', 'n3'])
      expect((await app.status()).groups).toMatchObject([{ applied: 2, suppressed: 2, attention: 0 }])
    })
  })

  describe('wherever it is', () => {
    test('log, parked, attention open and closed, outbox, delayed, calls and revisions: gone from the tables and from the disk; others’ data stays', async () => {
      const secret = 'Pferdekopf-4711'
      const clean = engine.name === 'sqlite' ? [] : ['not looked at']
      const store = await engine.store()
      const app = store.app()
      let broken = true
      app.consume(notes, {
        group: 'keeper',
        maxAttempts: 1,
        calls: { mail: call((data: Note) => ({ sent: `to ${data.text}` })) },
        apply: (data) => {
          if (broken) throw new TerminalError(`cannot keep ${data.text}`)
        },
      })
      app.consume(notes, 'copier', () => undefined)
      for (const who of ['anna', 'bert'])
        for (let number = 1; number <= 4; number++)
          await app.publish(notes, note(`${who}-${number}`, who, `${secret} of ${who}`), { headers: { subject: secret } })
      await app.publish(notes, note('anna-later', 'anna', secret), { deliverAt: new Date(Date.now() + 3_600_000) })
      await app.start()
      await app.idle()
      const [first, second] = await app.attention.list({ key: 'anna' })
      expect([first, second]).toMatchObject([{ behind: 3 }, undefined])
      await app.attention.edit(first!.id, note('anna-1', 'anna', `${secret} corrected`), { by: 'clerk' })
      await app.idle()
      broken = true
      await until(async () => (await app.attention.list({ key: 'anna' })).length === 1, 'it failed again')
      expect(looked(store, secret)).not.toEqual([])
      const foreign = await store.column<number>(`select count(*) from ${store.table('parked')} where key = 'bert'`)

      const before = await app.erase(notes, { key: 'anna', by: 'officer', preview: true })
      expect(before).toMatchObject({ messages: 4, parked: 4, attention: 2, scheduled: 1, revisions: 1, traces: 'possible' })
      expect(before.calls).toBeGreaterThan(0)
      expect(await store.column(`select count(*) from ${store.table('erasure')}`)).toEqual([0])
      expect(await app.erase(notes, { key: 'anna', ...by })).toEqual(before)
      expect(await app.erase(notes, { key: 'anna', ...by, rewrite: true })).toEqual({
        ...nothing,
        traces: engine.name === 'sqlite' ? 'none' : 'possible',
      })

      expect(looked(store, `${secret} of anna`)).toEqual(clean)
      expect(looked(store, `${secret} corrected`)).toEqual(clean)
      for (const table of ['log', 'parked', 'attention', 'outbox', 'schedule', 'call'])
        expect(await store.column(`select count(*) from ${store.table(table)} where key = 'anna'`), table).toEqual([0])
      expect(await store.column(`select count(*) from ${store.table('parked')} where key = 'bert'`)).toEqual(foreign)
      expect(await app.attention.show(first!.id)).toMatchObject({
        envelope: { json: 'null', type: 'onefold.erased' },
        errorMessage: '',
        errorStack: '',
      })
      const all = await app.attention.list({ state: 'all' })
      expect(all.filter(({ envelope }) => envelope.json === 'null').map(({ state, by }) => ({ state, by }))).toContainEqual({
        state: 'discarded',
        by: 'officer',
      })

      const [audited] = await store.rows<Record<string, unknown>>(`select * from ${store.table('erasure')}`)
      expect(audited).toMatchObject({ topic: 'notes', by: 'officer', reason: 'asked for on paper' })
      expect(audited!.finished_ms).toBeGreaterThan(0)
      expect(JSON.stringify(audited)).not.toContain('anna')

      await app.erase(notes, { key: 'bert', ...by, rewrite: true })
      expect(looked(store, secret)).toEqual(clean)
      await app.stop()
      expect(looked(store, secret)).toEqual(clean)
    })

    test('what waits in the outbox for a broker elsewhere does not leave', async () => {
      const store = await engine.store()
      const elsewhereStore = await engine.store()
      const app = store.app({ broker: new InDatabaseBroker(elsewhereStore.database()) })
      await app.transaction(({ publish }) => {
        publish(notes, note('n1', 'anna'))
        publish(notes, note('n2', 'bert'))
      })
      expect(await app.erase(notes, { key: 'anna', ...by })).toEqual({ ...nothing, outbox: 1 })
      expect(await store.column(`select id from ${store.table('outbox')}`)).toEqual(['n2'])
    })

    test('every partition is looked through: where a key lies changes with their number', async () => {
      const store = await engine.store()
      const small = topic<Note>('notes', { partitions: 1, id: ({ id }) => id, key: ({ who }) => who })
      const app = store.app()
      for (let number = 0; number < 6; number++) await app.publish(small, note(`old-${number}`, `p${number}`))
      await app.topics.change('notes', { partitions: 8 })
      await app.stop()
      const wide = store.app()
      const topic8 = topic<Note>('notes', { partitions: 8, id: ({ id }) => id, key: ({ who }) => who })
      for (let number = 0; number < 6; number++) await wide.publish(topic8, note(`new-${number}`, `p${number}`))
      for (let number = 0; number < 6; number++)
        expect(await wide.erase('notes', { key: `p${number}`, ...by })).toMatchObject({ messages: 2 })
    })

    test('with order total, what waits behind a message that was erased moves on', async () => {
      const store = await engine.store()
      const total = topic<Note>('notes', { order: 'total', id: ({ id }) => id, key: ({ who }) => who })
      const app = store.app()
      app.consume(total, {
        group: 'g',
        maxAttempts: 1,
        apply: handler(function* ({ id, who }: Note, { tx }: Context) {
          if (who === 'anna') throw new TerminalError('no')
          yield store.write(tx, 'insert into effect values (?, 1)', id)
        }),
      })
      await app.start()
      for (const [id, who] of [
        ['1', 'anna'],
        ['2', 'bert'],
        ['3', 'anna'],
        ['4', 'carl'],
      ] as const)
        await app.publish(total, note(id, who))
      await app.idle()
      expect(await store.effects()).toEqual([])
      expect(await app.erase(total, { key: 'anna', ...by })).toMatchObject({ messages: 2, parked: 2, attention: 1 })
      await until(async () => (await store.effects()).length === 2, 'the others')
      expect(await store.effects()).toEqual(['2', '4'])
      expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0 }])
    })

    test('more than one commit’s worth, in the log and parked, in stretches', async () => {
      const store = await engine.store()
      const app = store.app()
      const one = topic<Note>('notes', { partitions: 1, id: ({ id }) => id, key: ({ who }) => who })
      app.consume(one, {
        group: 'g',
        maxAttempts: 1,
        apply: ({ who }) => {
          if (who === 'anna') throw new TerminalError('no')
        },
      })
      const items = Array.from({ length: 12_000 }, (_, number) => ({
        data: note(`${number}`, number % 20 === 0 ? 'anna' : 'bert'),
      }))
      await app.publishMany(one, items)
      await app.start()
      await app.idle()
      expect(await app.erase(one, { key: 'anna', ...by })).toMatchObject({ messages: 600, parked: 600, attention: 1 })
      expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0 }])
      expect(await store.column(`select rows from ${store.table('erasure')}`)).toEqual([1_201])
    })
  })

  describe('a call that is under way when its message is erased', () => {
    test('answers in vain: nothing of it is remembered, and the message is not applied', async () => {
      const store = await engine.store()
      const app = store.app()
      const answer = Promise.withResolvers<string>()
      let asked = false
      app.consume(notes, {
        group: 'g',
        calls: {
          mail: call(() => {
            asked = true
            return answer.promise
          }),
        },
        apply: ({ id }, { tx }) => store.write(tx, 'insert into effect values (?, 1)', id),
      })
      await app.start()
      await app.publish(notes, note('n1', 'anna'))
      await until(() => asked, 'the request')
      expect(await app.erase(notes, { key: 'anna', ...by })).toMatchObject({ messages: 1, parked: 1, calls: 1 })
      answer.resolve('Pferdekopf')
      await app.idle()
      expect(await store.effects()).toEqual([])
      expect(await store.rows(`select result, error_message from ${store.table('call')}`)).toEqual([
        { result: null, error_message: null },
      ])
      expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0 }])
    })
  })

  test('refused by name: no key, nobody who does it, no such topic, inside a transaction; and a type that is reserved', async () => {
    const store = await engine.store()
    const app = store.app()
    await app.publish(notes, note('n1', 'anna'))
    expect(await rejection(app.erase(notes, { key: '', ...by }))).toMatchObject({
      code: 'MESSAGE_INVALID',
      details: { field: 'key' },
    })
    expect(await rejection(app.erase(notes, { key: 'anna', by: ' ' }))).toMatchObject({
      code: 'OPTION_INVALID',
      details: { option: 'by' },
    })
    expect(await rejection(app.erase('nots', { key: 'anna', ...by }))).toMatchObject({ code: 'NOT_FOUND' })
    expect(await rejection(app.transaction(() => app.erase(notes, { key: 'anna', ...by })))).toMatchObject({
      code: 'PUBLISH_INSIDE_APPLY',
    })
    expect(await rejection(app.publish(notes, note('n2', 'anna'), { type: 'onefold.erased' }))).toMatchObject({
      code: 'MESSAGE_INVALID',
      details: { field: 'type' },
    })
    expect(await rejection(app.publish(topic('onefold.erased'), 1))).toMatchObject({ code: 'MESSAGE_INVALID' })
    expect(await store.column(`select count(*) from ${store.table('erasure')}`)).toEqual([0])
  })
})
