import { expect, test } from 'vitest'
import { topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'

const notes = topic<number>('notes', { partitions: 4 })

/** Frames in the log, each a page written; and how many of them ended a transaction: https://sqlite.org/fileformat.html#wal_file_format */
function commits(file: TemporaryFile): number {
  const [row] = file.rows<{ log: number }>('pragma wal_checkpoint(passive)')
  return row?.log ?? 0
}

/** Counts the commits another connection could notice while `work` is under way. */
async function versionsSeen(file: TemporaryFile, work: () => Promise<unknown>): Promise<number> {
  const seen = new Set<number>()
  const look = (): void => void seen.add(file.column<number>('pragma data_version')[0] ?? 0)
  look()
  let done = false
  const working = work().finally(() => {
    done = true
  })
  while (!done) {
    look()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await working
  look()
  return seen.size - 1
}

test('a thousand publishes at the same time share a handful of commits', async () => {
  const file = new TemporaryFile('')
  const app = file.app()
  await app.publish(notes, -1)
  const before = commits(file)
  const versions = await versionsSeen(file, () =>
    Promise.all(Array.from({ length: 1_000 }, (_, number) => app.publish(notes, number))),
  )
  expect(versions).toBeGreaterThan(0)
  expect(versions).toBeLessThan(10)
  // A commit of its own for each would write four pages each; shared, most pages hold many messages.
  expect(commits(file) - before).toBeLessThan(400)
  expect(file.column('select count(*) from onefold_log')).toEqual([1_001])
})

test('publishes one after the other each have a commit of their own: the count above can tell', async () => {
  const file = new TemporaryFile('')
  const app = file.app()
  await app.publish(notes, -1)
  const versions = await versionsSeen(file, async () => {
    for (let number = 0; number < 30; number++) await app.publish(notes, number)
  })
  expect(versions).toBeGreaterThan(15)
})

test('what a consumer applies and what others publish meanwhile share commits too', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  app.consume(notes, 'g', (number, { tx }) => tx.run('insert into effect values (?, 1)', number))
  await app.start()
  const versions = await versionsSeen(file, async () => {
    await Promise.all(Array.from({ length: 1_000 }, (_, number) => app.publish(notes, number)))
    await app.idle()
  })
  expect(versions).toBeLessThan(30)
  expect(file.effects()).toHaveLength(1_000)
})
