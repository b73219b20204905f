import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { OnefoldError, onefold, topic } from '../../src/index.ts'

test('stop, when the last commit cannot be made: rejects with its reason, and the file is closed all the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-stop-'))
  const database = sqlite(join(folder, 'app.db'))
  const failure = new OnefoldError('COMMIT_UNKNOWN', 'the disk failed', { outcome: 'unknown' })
  let closed = 0
  const app = onefold({
    database: Object.assign(Object.create(database) as typeof database, {
      open: database.open.bind(database),
      read: database.read.bind(database),
      insideTransaction: database.insideTransaction.bind(database),
      maintain: database.maintain.bind(database),
      write: ((work, options) =>
        options.what === 'leave' ? Promise.reject(failure) : database.write(work, options)) as typeof database.write,
      close: async () => {
        closed++
        await database.close()
      },
    }),
  })
  app.consume(topic('notes'), 'readers', () => {})
  await app.start()
  await expect(app.stop()).rejects.toBe(failure)
  expect(closed).toBe(1)
  rmSync(folder, { recursive: true })
})
