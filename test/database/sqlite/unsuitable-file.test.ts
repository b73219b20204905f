import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test, vi } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { smallDisk } from '../../support/small-disk.ts'
import { stopAfterwards, TemporaryFile, temporaryFolder } from '../../support/temporary.ts'
import { rejection } from '../../support/until.ts'

const { statfs } = vi.hoisted(() => ({ statfs: { type: undefined as number | undefined } }))
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const statfsSync = (path: string) => ({ ...fs.statfsSync(path), ...(statfs.type === undefined ? {} : { type: statfs.type }) })
  return { ...fs, statfsSync, default: { ...fs, statfsSync } }
})

const notes = topic<{ id: string }>('notes', { partitions: 1, id: (note) => note.id })

async function withMessages(count: number): Promise<TemporaryFile> {
  const file = new TemporaryFile('')
  const app = file.app()
  await app.publishMany(
    notes,
    Array.from({ length: count }, (_, number) => ({ data: { id: `${number}` } })),
  )
  await app.stop()
  return file
}

/** Bytes 18 and 19 of the file: https://sqlite.org/fileformat.html#file_format_version_numbers */
function journalOf(file: TemporaryFile): 'wal' | 'other' {
  file.exec('pragma wal_checkpoint')
  return readFileSync(file.path)
    .subarray(18, 20)
    .equals(Buffer.from([2, 2]))
    ? 'wal'
    : 'other'
}

async function openingFails(path: string): Promise<Error & Record<string, unknown>> {
  const app = stopAfterwards(onefold({ database: sqlite(path) }))
  const error = await rejection(app.publish(notes, { id: 'x' }))
  expect(error.message).toContain(path)
  expect(error.outcome).toBe('not-applied')
  return error
}

describe('a file that cannot be used is named, with the remedy', () => {
  test('its folder does not exist', async () => {
    const path = join(temporaryFolder(), 'no', 'such', 'app.db')
    expect(await openingFails(path)).toMatchObject({ code: 'DATABASE_IO', message: expect.stringContaining('create it') })
    expect(existsSync(dirname(path))).toBe(false)
  })

  test('it is a folder', async () => {
    const path = join(temporaryFolder(), 'app.db')
    mkdirSync(path)
    expect(await openingFails(path)).toMatchObject({ code: 'DATABASE_IO' })
  })

  test('it is no database; its content is left as it was', async () => {
    const path = join(temporaryFolder(), 'app.db')
    const content = 'name,amount\n'.repeat(200)
    writeFileSync(path, content)
    expect(await openingFails(path)).toMatchObject({
      code: 'DATABASE_CORRUPT',
      message: expect.stringContaining('not a SQLite database'),
    })
    expect(readFileSync(path, 'utf8')).toBe(content)
  })

  test('it is damaged: told of as such, and not made worse', async () => {
    const file = await withMessages(2_000)
    const bytes = readFileSync(file.path)
    bytes.fill(0xff, 4_096, 4_096 * 24)
    const damaged = join(temporaryFolder(), 'damaged.db')
    writeFileSync(damaged, bytes)
    const app = stopAfterwards(onefold({ database: sqlite(damaged) }))
    const error = await rejection(
      (async () => {
        await app.publishMany(
          notes,
          Array.from({ length: 50 }, (_, number) => ({ data: { id: `new ${number}` } })),
        )
        await app.status()
      })(),
    )
    const cause = error.code === 'PUBLISH_INCOMPLETE' ? (error.cause as typeof error) : error
    expect(cause).toMatchObject({ code: 'DATABASE_CORRUPT', retry: 'never' })
    expect(cause.message).toContain(damaged)
    expect(cause.message).toMatch(/restore a backup/)
  })

  test('it was made by a newer version: nothing is changed in it', async () => {
    const file = await withMessages(1)
    file.exec("update onefold_meta set value = 99 where name = 'schema_version'")
    const before = file.column('select count(*) from sqlite_schema')
    const error = await openingFails(file.path)
    expect(error).toMatchObject({ code: 'DATABASE_NEWER', details: { found: 99, known: 2 } })
    expect(error.message).toMatch(/Upgrade this process/)
    expect(file.column('select count(*) from sqlite_schema')).toEqual(before)
    expect(file.column('select count(*) from onefold_log')).toEqual([1])
  })

  test.each([
    ['NFS', 0x6969],
    ['CIFS', 0xff534d42],
    ['SMB2', 0xfe534d42],
  ])('it lies on a network file system (%s)', async (name, type) => {
    const path = join(temporaryFolder(), 'app.db')
    statfs.type = type
    try {
      expect(await openingFails(path)).toMatchObject({ code: 'DATABASE_UNSUITABLE', details: { fileSystem: name } })
      const handle = new DatabaseSync(path)
      const app = stopAfterwards(onefold({ database: sqlite(handle) }))
      expect(await rejection(app.publish(notes, { id: 'x' }))).toMatchObject({ code: 'DATABASE_UNSUITABLE' })
      handle.close()
    } finally {
      statfs.type = undefined
    }
  })

  test('it is in memory', () => {
    for (const target of ['', ':memory:', 'file:app.db?mode=memory', new DatabaseSync(':memory:')])
      expect(() => sqlite(target)).toThrow(/cannot survive a crash/)
    expect(() => sqlite({} as never)).toThrow(/a file name, a node:sqlite DatabaseSync or a better-sqlite3 Database/)
  })

  test('options of sqlite() are checked by name', () => {
    expect(() => sqlite('a.db', { prefix: 'drop table' })).toThrow(/^prefix is/)
    expect(() => sqlite('a.db', { synchronous: 'OFF' as 'FULL' })).toThrow(/^synchronous is/)
    expect(() => sqlite('a.db', { cacheMiB: 0 })).toThrow(/^cacheMiB is/)
  })
})

const readOnly = smallDisk(8)

describe.skipIf(readOnly === undefined)('a read-only disk', () => {
  test('a file that is there, and one that is not: start and publish say so and nothing is lost', async () => {
    const made = await withMessages(3)
    const path = join(readOnly!.folder, 'app.db')
    copyFileSync(made.path, path)
    spawnSync('mount', ['-o', 'remount,ro', readOnly!.folder])
    for (const name of ['app.db', 'new.db']) {
      const file = join(readOnly!.folder, name)
      const app = stopAfterwards(onefold({ database: sqlite(file) }))
      app.consume(notes, 'g', () => undefined)
      const error = await rejection(app.start())
      expect(['DATABASE_READ_ONLY', 'DATABASE_IO']).toContain(error.code)
      expect(error.message).toContain(file)
      expect(error.message).toMatch(/write permission|may be written/)
    }
    spawnSync('mount', ['-o', 'remount,rw', readOnly!.folder])
    const app = stopAfterwards(onefold({ database: sqlite(path) }))
    const seen: string[] = []
    app.consume(notes, 'g', ({ id }) => void seen.push(id))
    await app.start()
    await app.idle()
    expect(seen).toEqual(['0', '1', '2'])
  })
})

const asNobody =
  process.getuid?.() === 0 && spawnSync('runuser', ['-u', 'nobody', '--', process.execPath, '-e', '0']).status === 0
if (!asNobody) console.warn('skipped: another user cannot be taken on here; run as root with runuser')

test.skipIf(!asNobody)('a file without write permission for this user: typed, named, and the file stays as it is', async () => {
  const made = await withMessages(2)
  const folder = temporaryFolder()
  chmodSync(folder, 0o755)
  const path = join(folder, 'app.db')
  copyFileSync(made.path, path)
  chmodSync(path, 0o444)
  const program = `
    import { onefold, topic } from ${JSON.stringify(new URL('../../../src/index.ts', import.meta.url).href)}
    import { sqlite } from ${JSON.stringify(new URL('../../../src/database/sqlite/index.ts', import.meta.url).href)}
    const app = onefold({ database: sqlite(${JSON.stringify(path)}) })
    try { await app.publish(topic('notes', { partitions: 1 }), { id: 'x' }); console.log('published') }
    catch (error) { console.log(JSON.stringify({ code: error.code, message: error.message })) }
    process.exit(0)`
  const { stdout, stderr } = spawnSync(
    'runuser',
    ['-u', 'nobody', '--', process.execPath, '--input-type=module', '-e', program],
    { encoding: 'utf8', cwd: '/' },
  )
  expect(stdout, stderr).toMatch(/^\{/)
  const { code, message } = JSON.parse(stdout)
  expect(['DATABASE_READ_ONLY', 'DATABASE_IO']).toContain(code)
  expect(message).toContain(path)
  expect(message).toMatch(/write permission|may be written/)
  expect(readFileSync(path)).toEqual(readFileSync(made.path))
})

describe('what is verified when a file is opened', () => {
  test('write-ahead log and synchronous FULL, also on a file that was made otherwise', async () => {
    const file = new TemporaryFile('')
    file.exec('pragma journal_mode = delete; create table mine (a)')
    const app = file.app()
    await app.publish(notes, { id: 'x' })
    expect(journalOf(file)).toBe('wal')
    const level = await app.transaction(({ tx }) => tx.get<{ synchronous: number }>('pragma synchronous'))
    expect(level).toEqual({ synchronous: 2 })
  })

  test('a file kept in another journal mode by somebody else is refused or waited for, never used without its log', async () => {
    const file = new TemporaryFile('')
    file.exec('pragma journal_mode = delete; create table mine (a); begin exclusive; insert into mine values (1)')
    const app = file.app()
    const publishing = app.publish(notes, { id: 'x' })
    await new Promise((resolve) => setTimeout(resolve, 50))
    file.exec('commit')
    expect((await publishing).status).toBe('accepted')
    expect(journalOf(file)).toBe('wal')
  })

  test('a link to the file is the file', async () => {
    const file = await withMessages(1)
    const link = join(temporaryFolder(), 'link.db')
    symlinkSync(file.path, link)
    const app = stopAfterwards(onefold({ database: sqlite(link) }))
    expect((await app.publish(notes, { id: '0' })).status).toBe('duplicate')
    expect((await app.status()).database.file).toBe(file.path)
    expect(existsSync(`${link}-wal`)).toBe(false)
  })

  test('synchronous NORMAL: start refuses effectively-once and names the option, and takes the weaker promises', async () => {
    const app = new TemporaryFile('').app({ sqlite: { synchronous: 'NORMAL' } })
    app.consume(notes, 'g', () => undefined)
    expect(await rejection(app.start())).toMatchObject({
      code: 'GUARANTEE_IMPOSSIBLE',
      details: { option: 'synchronous', group: 'g', topic: 'notes' },
    })
    const weaker = new TemporaryFile('').app({ sqlite: { synchronous: 'NORMAL' } })
    weaker.consume(notes, { group: 'g', semantics: 'at-least-once', receive: () => undefined })
    await weaker.start()
    expect((await weaker.publish(notes, { id: 'x' })).status).toBe('accepted')
  })

  test('two prefixes in one file know nothing of each other', async () => {
    const file = new TemporaryFile('')
    const one = file.app()
    const other = file.app({ sqlite: { prefix: 'other_' } })
    expect((await one.publish(notes, { id: 'x' })).status).toBe('accepted')
    expect((await other.publish(notes, { id: 'x' })).status).toBe('accepted')
    expect(file.column('select count(*) from other_log')).toEqual([1])
  })
})
