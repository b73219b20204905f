import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { InDatabaseBroker } from '../../src/broker/in-database/in-database-broker.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { call, TerminalError, topic } from '../../src/index.ts'
import { seededRandom } from '../../src/testing/index.ts'
import { ShiftedRuntime } from '../support/shifted-runtime.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { rejection, sleep, until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly who: string
  readonly text: string
}
const notes = topic<Note>('notes', { partitions: 4, id: (note) => note.id, key: (note) => note.who })
const by = { by: 'officer', reason: 'asked for on paper' }
const nothing = { messages: 0, parked: 0, attention: 0, outbox: 0, scheduled: 0, calls: 0, revisions: 0, traces: 'possible' }

/** Is the text anywhere in what is on the disk? */
function onDisk(file: TemporaryFile, text: string): string[] {
  return ['', '-wal', '-shm', '-journal']
    .map((ending) => file.path + ending)
    .filter((path) => existsSync(path) && readFileSync(path).includes(text))
}

const note = (id: string, who: string, text = `about ${who}`): Note => ({ id, who, text })

describe('erased before it was applied', () => {
  test.each(['apply', 'applyBatch', 'at-least-once', 'at-most-once'] as const)(
    '%s: never applied, counted as suppressed, and its neighbours go on in order',
    async (how) => {
      const file = new TemporaryFile()
      const app = file.app()
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
      for (let number = 1; number <= 9; number++) await app.publish(notes, note(`n${number}`, number % 3 === 0 ? 'anna' : 'bert'))
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
    const file = new TemporaryFile()
    const other = new TemporaryFile()
    const producer = other.app()
    for (let number = 1; number <= 4; number++)
      await producer.publish(notes, note(`n${number}`, number % 2 === 0 ? 'anna' : 'bert'))
    expect(await producer.erase('notes', { key: 'anna', ...by })).toMatchObject({ messages: 2 })
    const app = file.app({ broker: new InDatabaseBroker(sqlite(other.path)) })
    app.consume(notes, 'g', ({ id }, { tx }) => tx.run('insert into effect values (?, 1)', id))
    await app.start()
    await until(() => file.effects().length === 2, 'both')
    await app.idle()
    expect(file.effects()).toEqual(['n1', 'n3'])
    expect((await app.status()).groups).toMatchObject([{ applied: 2, suppressed: 2, attention: 0 }])
  })
})

describe('wherever it is', () => {
  test('log, parked, attention open and closed, outbox, delayed, calls and revisions: gone from the tables and from the disk; others’ data stays', async () => {
    const secret = 'Pferdekopf-4711'
    const file = new TemporaryFile()
    const app = file.app()
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
    expect(onDisk(file, secret)).not.toEqual([])
    const foreign = file.column<number>("select count(*) from onefold_parked where key = 'bert'")

    const before = await app.erase(notes, { key: 'anna', by: 'officer', preview: true })
    expect(before).toMatchObject({ messages: 4, parked: 4, attention: 2, scheduled: 1, revisions: 1, traces: 'possible' })
    expect(before.calls).toBeGreaterThan(0)
    expect(file.column('select count(*) from onefold_erasure')).toEqual([0])
    expect(await app.erase(notes, { key: 'anna', ...by })).toEqual(before)
    expect(await app.erase(notes, { key: 'anna', ...by, rewrite: true })).toEqual({ ...nothing, traces: 'none' })

    expect(onDisk(file, `${secret} of anna`)).toEqual([])
    expect(onDisk(file, `${secret} corrected`)).toEqual([])
    for (const table of ['log', 'parked', 'attention', 'outbox', 'schedule', 'call'])
      expect(file.column(`select count(*) from onefold_${table} where key = 'anna'`), table).toEqual([0])
    expect(file.column("select count(*) from onefold_parked where key = 'bert'")).toEqual(foreign)
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

    const [audited] = file.rows<Record<string, unknown>>('select * from onefold_erasure')
    expect(audited).toMatchObject({ topic: 'notes', by: 'officer', reason: 'asked for on paper' })
    expect(audited!.finished_ms).toBeGreaterThan(0)
    expect(JSON.stringify(audited)).not.toContain('anna')

    await app.erase(notes, { key: 'bert', ...by, rewrite: true })
    expect(onDisk(file, secret)).toEqual([])
    await app.stop()
    expect(onDisk(file, secret)).toEqual([])
  })

  test('what waits in the outbox for a broker elsewhere does not leave', async () => {
    const file = new TemporaryFile()
    const app = file.app({ broker: new InDatabaseBroker(sqlite(new TemporaryFile().path)) })
    await app.transaction(({ publish }) => {
      publish(notes, note('n1', 'anna'))
      publish(notes, note('n2', 'bert'))
    })
    expect(await app.erase(notes, { key: 'anna', ...by })).toEqual({ ...nothing, outbox: 1 })
    expect(file.column('select id from onefold_outbox')).toEqual(['n2'])
  })

  test('every partition is looked through: where a key lies changes with their number', async () => {
    const file = new TemporaryFile()
    const small = topic<Note>('notes', { partitions: 1, id: ({ id }) => id, key: ({ who }) => who })
    const app = file.app()
    for (let number = 0; number < 6; number++) await app.publish(small, note(`old-${number}`, `p${number}`))
    await app.topics.change('notes', { partitions: 8 })
    await app.stop()
    const wide = file.app()
    const topic8 = topic<Note>('notes', { partitions: 8, id: ({ id }) => id, key: ({ who }) => who })
    for (let number = 0; number < 6; number++) await wide.publish(topic8, note(`new-${number}`, `p${number}`))
    for (let number = 0; number < 6; number++)
      expect(await wide.erase('notes', { key: `p${number}`, ...by })).toMatchObject({ messages: 2 })
  })

  test('with order total, what waits behind a message that was erased moves on', async () => {
    const file = new TemporaryFile()
    const total = topic<Note>('notes', { order: 'total', id: ({ id }) => id, key: ({ who }) => who })
    const app = file.app()
    app.consume(total, {
      group: 'g',
      maxAttempts: 1,
      apply: ({ id, who }, { tx }) => {
        if (who === 'anna') throw new TerminalError('no')
        tx.run('insert into effect values (?, 1)', id)
      },
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
    expect(file.effects()).toEqual([])
    expect(await app.erase(total, { key: 'anna', ...by })).toMatchObject({ messages: 2, parked: 2, attention: 1 })
    await until(() => file.effects().length === 2, 'the others')
    expect(file.effects()).toEqual(['2', '4'])
    expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0 }])
  })

  test('more than one commit’s worth, in the log and parked, in stretches', async () => {
    const file = new TemporaryFile()
    const app = file.app()
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
    expect(file.column('select rows from onefold_erasure')).toEqual([1_201])
  })
})

describe('a call that is under way when its message is erased', () => {
  test('answers in vain: nothing of it is remembered, and the message is not applied', async () => {
    const file = new TemporaryFile()
    const app = file.app()
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
      apply: ({ id }, { tx }) => void tx.run('insert into effect values (?, 1)', id),
    })
    await app.start()
    await app.publish(notes, note('n1', 'anna'))
    await until(() => asked, 'the request')
    expect(await app.erase(notes, { key: 'anna', ...by })).toMatchObject({ messages: 1, parked: 1, calls: 1 })
    answer.resolve('Pferdekopf')
    await app.idle()
    expect(file.effects()).toEqual([])
    expect(file.rows('select result, error_message from onefold_call')).toEqual([{ result: null, error_message: null }])
    expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0 }])
  })
})

test('not rewritten: overwritten where it lay, and in the log of recent changes too', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  for (const who of ['anna', 'bert', 'carl']) await app.publish(notes, note(who, who, `Pferdekopf of ${who}`))
  await app.publish(notes, note('late', 'anna', 'Pferdekopf of anna'), { deliverAt: new Date(Date.now() + 3_600_000) })
  expect(await app.erase(notes, { key: 'anna', ...by })).toEqual({ ...nothing, messages: 1, scheduled: 1 })
  expect(onDisk(file, 'Pferdekopf of anna')).toEqual([])
  expect(onDisk(file, 'Pferdekopf of bert')).not.toEqual([])
})

describe('rewritten', () => {
  test('the file holds nothing of it, whatever was moved, removed by retention or applied before; the other keys are whole', async () => {
    const random = seededRandom(5)
    const file = new TemporaryFile()
    const app = file.app()
    let broken = true
    const two = topic<Note>('notes', { partitions: 2, id: ({ id }) => id, key: ({ who }) => who })
    app.consume(two, {
      group: 'g',
      inlineAttempts: 1,
      backoffMs: 0,
      apply: ({ text }) => {
        if (broken && random() < 0.5) throw new Error(`not yet: ${text}`)
      },
    })
    const items = Array.from({ length: 600 }, (_, number) => ({
      data: note(`${number}`, `p${number % 10}`, `Pferdekopf-${number % 10}-${'x'.repeat(Math.floor(random() ** 4 * 9_000))}`),
    }))
    await app.start()
    await app.publishMany(two, items)
    await until(() => file.column<number>('select count(*) from onefold_parked')[0]! > 100, 'parked')
    broken = false
    await app.idle()
    // As retention does.
    file.exec('delete from onefold_log where position in (select position from onefold_log order by position limit 100)')
    const others = file.rows("select * from onefold_log where key <> 'p7' order by position")
    expect(await app.erase(two, { key: 'p7', ...by })).toMatchObject({ traces: 'possible' })
    expect(await app.erase(two, { key: 'p7', ...by, rewrite: true })).toEqual({ ...nothing, traces: 'none' })
    expect(onDisk(file, 'Pferdekopf-7-')).toEqual([])
    expect(onDisk(file, 'Pferdekopf-8-')).not.toEqual([])
    expect(file.rows("select * from onefold_log where key <> 'p7' order by position")).toEqual(others)
    expect(file.column('pragma integrity_check')).toEqual(['ok'])
    // It goes on, on the same connections.
    await app.publish(two, note('new', 'p7'))
    await app.idle()
    expect((await app.status()).groups).toMatchObject([{ lag: 0, parked: 0 }])
  })

  test('somebody who reads an older state is waited for, and it is said when they do not end', async () => {
    const file = new TemporaryFile()
    const clock = new ShiftedRuntime()
    const app = file.app({ runtime: clock.runtime })
    await app.publish(notes, note('n1', 'anna', 'Pferdekopf'))
    file.exec('begin')
    file.rows('select * from onefold_log')
    const erased = app.erase(notes, { key: 'anna', ...by, rewrite: true })
    await sleep(100)
    clock.pass(5_000)
    expect(await erased).toMatchObject({ messages: 1, traces: 'possible' })
    file.exec('commit')
    expect(onDisk(file, 'Pferdekopf')).not.toEqual([])
    expect(await app.erase(notes, { key: 'anna', ...by, rewrite: true })).toEqual({ ...nothing, traces: 'none' })
    expect(onDisk(file, 'Pferdekopf')).toEqual([])
  })

  test('while another process writes, it waits its turn', async () => {
    const file = new TemporaryFile()
    const app = file.app()
    await app.publish(notes, note('n1', 'anna', 'Pferdekopf'))
    await app.erase(notes, { key: 'anna', ...by })
    file.exec('begin immediate')
    const erased = app.erase(notes, { key: 'anna', ...by, rewrite: true })
    await sleep(100)
    file.exec('commit')
    expect(await erased).toEqual({ ...nothing, traces: 'none' })
  })
})

test('refused by name: no key, nobody who does it, no such topic, inside a transaction; and a type that is reserved', async () => {
  const file = new TemporaryFile()
  const app = file.app()
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
  expect(file.column('select count(*) from onefold_erasure')).toEqual([0])
})
