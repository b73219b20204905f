import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isOnefoldError, topic } from '../../../src/index.ts'
import { smallDisk } from '../../support/small-disk.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { rejection, sleep, until } from '../../support/until.ts'

const notes = topic<{ id: string; text: string }>('notes', {
  partitions: 2,
  id: (note) => note.id,
  key: (note) => note.id.slice(-1),
})
const echoes = topic<{ of: string }>('echoes', { partitions: 1, id: (echo) => echo.of })
const text = 'x'.repeat(2_000)

/** One for each test: a full disk must not be the next test's trouble. */
const disks = [smallDisk(40), smallDisk(40), smallDisk(40)]

/** The codes an error of a full disk may have: the write was refused, or its COMMIT reported an error. */
function expectDiskFull(error: unknown, file: string): void {
  expect(isOnefoldError(error)).toBe(true)
  if (!isOnefoldError(error)) return
  expect(['DATABASE_FULL', 'DATABASE_IO', 'COMMIT_UNKNOWN']).toContain(error.code)
  expect(error.retry).toBe('later')
  expect(error.message).toContain(file)
  expect(error.message).toMatch(/disk|space/)
  expect(error.details.file).toBe(file)
  if (error.code === 'COMMIT_UNKNOWN') expect(error.outcome).toBe('unknown')
}

test.skipIf(disks[0] === undefined)(
  'a disk that fills up: a typed error names file and remedy, nothing acknowledged is lost, and work goes on when space returns',
  async () => {
    const file = new TemporaryFile(
      'create table effect (id text, value integer); create table heard (id text)',
      join(disks[0]!.folder, 'full.db'),
    )
    const app = file.app({ leaseMs: 1_000 })
    app.consume(notes, {
      group: 'g',
      maxAttempts: 2,
      apply: ({ id }, { tx, publish }) => {
        tx.run('insert into effect values (?, length(zeroblob(10)))', id)
        publish(echoes, { of: id })
      },
    })
    app.consume(echoes, { group: 'h', apply: ({ of }, { tx }) => tx.run('insert into heard values (?)', of) })
    await app.start()
    const acknowledged: string[] = []
    const refused: string[] = []
    const publish = async (id: string): Promise<unknown> => {
      try {
        await app.publish(notes, { id, text })
        acknowledged.push(id)
        return undefined
      } catch (error) {
        refused.push(id)
        return error
      }
    }
    for (let number = 0; number < 100; number++) await publish(`before-${number}`)
    expect(refused).toEqual([])
    disks[0]!.fill(200_000)
    let error: unknown
    for (let number = 0; number < 400 && error === undefined; number++) error = await publish(`during-${number}`)
    expectDiskFull(error, file.path)
    await Promise.all(Array.from({ length: 30 }, (_, number) => publish(`more-${number}`)))
    expect(refused.length).toBeGreaterThan(1)
    await sleep(300)
    disks[0]!.free()
    await until(async () => (await publish(`after-${refused.length}`)) === undefined, 'the first publish with space', 10_000)
    for (const id of refused.filter((each) => each.startsWith('during') || each.startsWith('more'))) {
      expect(['accepted', 'duplicate']).toContain((await app.publish(notes, { id, text })).status)
      acknowledged.push(id)
    }
    await until(
      () => file.column<number>('select count(*) from effect')[0]! >= new Set(acknowledged).size,
      'everything applied',
      10_000,
    )
    await app.idle()
    const effects = file.effects()
    expect(new Set(effects).size).toBe(effects.length)
    expect(acknowledged.filter((id) => !effects.includes(id))).toEqual([])
    expect(file.column('select id from heard order by id')).toEqual(effects.toSorted())
    // A full disk is nobody's fault: no attempt was counted, nothing waits for a person.
    expect(await app.attention.list()).toEqual([])
    expect(file.column('pragma integrity_check')).toEqual(['ok'])
    expect(file.events.filter((event) => event.kind === 'attempt-failed')).toEqual([])
  },
)

test.skipIf(disks[1] === undefined)(
  'app.transaction on a full disk is told so, and may simply be repeated when there is space',
  async () => {
    const file = new TemporaryFile('create table big (data blob)', join(disks[1]!.folder, 'tx.db'))
    const app = file.app({ sqlite: { cacheMiB: 1 } })
    await app.publish(notes, { id: 'x', text })
    disks[1]!.fill(50_000)
    // More than the page cache holds: the disk is met in the middle of the transaction.
    const error = await rejection(
      app.transaction(({ tx, publish }) => {
        for (let row = 0; row < 40; row++) tx.run('insert into big values (zeroblob(100000))')
        publish(notes, { id: 'y', text })
      }),
    )
    expectDiskFull(error.code === 'TRANSACTION_ENDED' ? error.cause : error, file.path)
    disks[1]!.free()
    await app.transaction(({ tx, publish }) => {
      tx.run('insert into big values (zeroblob(10))')
      publish(notes, { id: 'y', text })
    })
    expect(file.column('select count(*) from big')).toEqual([1])
    expect((await app.publish(notes, { id: 'y', text })).status).toBe('duplicate')
  },
)

test.skipIf(disks[2] === undefined)(
  'a file that cannot even be created on a full disk: start says so, and works once there is space',
  async () => {
    disks[2]!.fill()
    const file = new TemporaryFile('', join(disks[2]!.folder, 'new.db'))
    const app = file.app()
    const error = await rejection(app.publish(notes, { id: 'x', text }))
    expectDiskFull(error, file.path)
    expect(error.details).toMatchObject({ id: 'x' })
    disks[2]!.free()
    expect((await app.publish(notes, { id: 'x', text })).status).toBe('accepted')
  },
)
