import { describe, expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { seededRandom } from '../../../src/testing/index.ts'
import { onDisk } from '../../support/on-disk.ts'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { sleep, until } from '../../support/until.ts'

interface Note {
  readonly id: string
  readonly who: string
  readonly text: string
}
const notes = topic<Note>('notes', { partitions: 4, id: (note) => note.id, key: (note) => note.who })
const by = { by: 'officer', reason: 'asked for on paper' }
const nothing = { messages: 0, parked: 0, attention: 0, outbox: 0, scheduled: 0, calls: 0, revisions: 0, traces: 'possible' }
const note = (id: string, who: string, text = `about ${who}`): Note => ({ id, who, text })

test('not rewritten: overwritten where it lay, and in the log of recent changes too', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  for (const who of ['anna', 'bert', 'carl']) await app.publish(notes, note(who, who, `Pferdekopf of ${who}`))
  await app.publish(notes, note('late', 'anna', 'Pferdekopf of anna'), { deliverAt: new Date(Date.now() + 3_600_000) })
  expect(await app.erase(notes, { key: 'anna', ...by })).toEqual({ ...nothing, messages: 1, scheduled: 1 })
  expect(onDisk(file.path, 'Pferdekopf of anna')).toEqual([])
  expect(onDisk(file.path, 'Pferdekopf of bert')).not.toEqual([])
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
    expect(onDisk(file.path, 'Pferdekopf-7-')).toEqual([])
    expect(onDisk(file.path, 'Pferdekopf-8-')).not.toEqual([])
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
    expect(onDisk(file.path, 'Pferdekopf')).not.toEqual([])
    expect(await app.erase(notes, { key: 'anna', ...by, rewrite: true })).toEqual({ ...nothing, traces: 'none' })
    expect(onDisk(file.path, 'Pferdekopf')).toEqual([])
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
