import { expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { sleep, until } from '../../support/until.ts'

const hourMs = 3_600_000
const notes = topic<{ id: string }>('notes', { partitions: 2, id: (note) => note.id, retentionMs: hourMs })
const some = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => ({ data: { id: `${from + index}` } }))
const stored = (file: TemporaryFile) => file.column<number>('select count(*) from onefold_log')[0] ?? 0

test('what every group has applied and is old is removed, in small steps; what one group has not, or is young, stays', async () => {
  const file = new TemporaryFile('')
  const clock = new ShiftedRuntime()
  const app = file.app({ runtime: clock.runtime })
  const slow: string[] = []
  let release: () => void = () => undefined
  app.consume(notes, 'fast', () => undefined)
  app.consume(notes, {
    group: 'slow',
    semantics: 'at-least-once',
    receive: async ({ id }) => {
      if (slow.length === 0)
        await new Promise<void>((resolve) => {
          release = resolve
        })
      slow.push(id)
    },
  })
  await app.publishMany(notes, some(0, 3_000))
  await app.start()
  await until(async () => (await app.groups.list()).find(({ group }) => group === 'fast')?.lag === 0, 'the fast group')
  clock.wallAheadMs += 2 * hourMs
  await sleep(700)
  // One partition waits at its first message: everything of it stays.
  const partition = Number(file.column<number>('select partition from onefold_checkpoint order by 1')[0] ?? 0)
  expect(partition).toBeGreaterThanOrEqual(0)
  expect(stored(file)).toBeGreaterThan(1_000)
  await app.publishMany(notes, some(3_000, 3_100))
  release()
  await app.idle()
  await until(
    () => stored(file) === 100,
    () => `only the young ones, not ${stored(file)}`,
  )
  await sleep(100)
  expect(stored(file)).toBe(100)
  expect(slow).toHaveLength(3_100)
  expect((await app.status()).topics[0]).toMatchObject({ accepted: 3_100, messages: 100 })
  // Gone from the log, not from memory.
  expect((await app.publish(notes, { id: '5' })).status).toBe('duplicate')
})

test('a topic without any group keeps everything, and a group that comes later gets what is left', async () => {
  const file = new TemporaryFile('')
  const clock = new ShiftedRuntime()
  const other = topic<number>('other', { partitions: 1, retentionMs: hourMs })
  const first = file.app({ runtime: clock.runtime })
  first.consume(notes, 'g', () => undefined)
  await first.publishMany(other, [{ data: 1 }, { data: 2 }])
  await first.start()
  clock.wallAheadMs += 24 * hourMs
  await sleep(600)
  expect(stored(file)).toBe(2)
  await first.stop()
  const seen: number[] = []
  const second = file.app({ runtime: clock.runtime })
  second.consume(other, 'late', (number) => void seen.push(number))
  await second.start()
  await second.idle()
  expect(seen).toEqual([1, 2])
  await until(() => stored(file) === 0, 'nothing left')
})

test('a message in attention outlives its row in the log, and is redriven from there', async () => {
  const file = new TemporaryFile('')
  const clock = new ShiftedRuntime()
  const app = file.app({ runtime: clock.runtime })
  let broken = true
  const seen: string[] = []
  app.consume(notes, {
    group: 'g',
    maxAttempts: 1,
    apply: ({ id }) => {
      if (broken) throw new Error('no')
      seen.push(id)
    },
  })
  await app.publish(notes, { id: 'x' })
  await app.start()
  await app.idle()
  clock.wallAheadMs += 24 * hourMs
  await until(() => stored(file) === 0, 'the row to go')
  broken = false
  await app.attention.redrive((await app.attention.list())[0]!.id)
  await app.idle()
  expect(seen).toEqual(['x'])
})
