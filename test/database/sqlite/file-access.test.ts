import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { TemporaryFile, temporaryFolder } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

const source = (path: string): string => new URL(`../../../src/${path}`, import.meta.url).href
const straced = spawnSync('strace', ['-V']).status === 0
if (!straced) console.warn('skipped: strace is not here; without it nobody sees who opens the database file')

/**
 * Closing any descriptor of a file drops all POSIX locks that the process has on it: https://sqlite.org/howtocorrupt.html,
 * 2.2. SQLite knows this and keeps its own descriptors; anybody else must stay away.
 */
test.skipIf(!straced)(
  'app.db, -wal and -shm are opened by SQLite only, and not closed while locks may be held',
  { timeout: 30_000 },
  () => {
    const folder = temporaryFolder()
    // Not beside the file: the folder is watched, and every event would be logged, which is an event.
    const log = join(temporaryFolder(), 'strace.log')
    const program = `
    import { onefold, topic } from ${JSON.stringify(source('index.ts'))}
    import { sqlite } from ${JSON.stringify(source('database/sqlite/index.ts'))}
    const steps = topic('steps', { partitions: 2, id: (step) => step.id })
    const app = onefold({ database: sqlite('app.db') })
    app.consume(steps, 'g', (step, { tx }) => tx.run('create table if not exists effect (id text)'))
    await app.start()
    await app.publishMany(steps, Array.from({ length: 200 }, (_, n) => ({ data: { id: String(n) } })))
    await app.idle()
    await app.status()
    await app.groups.list()
    await app.backup('copy.db')
    await new Promise((resolve) => setTimeout(resolve, 600))
    process.stdout.write('at work\\n')
    await app.stop()`
    const { status, stderr, stdout } = spawnSync(
      'strace',
      ['-f', '-yy', '-e', 'trace=openat,open,close,write', '-o', log, process.execPath, '--input-type=module', '-e', program],
      { cwd: folder, encoding: 'utf8', timeout: 20_000 },
    )
    expect(status, stderr).toBe(0)
    expect(stdout).toBe('at work\n')
    const lines = readFileSync(log, 'utf8').split('\n')
    const opens = lines.filter((line) => /open(at)?\(/.test(line) && /\/app\.db(-wal|-shm)?"/.test(line))
    // SQLite opens read-write with mode 0644 and O_NOFOLLOW; fs.openSync, readFileSync and copyFileSync do not.
    expect(opens.length).toBeGreaterThan(2)
    expect(opens.filter((line) => !line.includes('O_NOFOLLOW'))).toEqual([])
    const ended = lines.findIndex((line) => line.includes('at work'))
    // A connection's own descriptor of the -wal holds no locks and may go with it.
    const closes = lines.slice(0, ended).filter((line) => /close\(\d+<[^>]*\/app\.db(-shm)?>/.test(line))
    expect(ended).toBeGreaterThan(0)
    expect(closes).toEqual([])
  },
)

describe('the write-ahead log', () => {
  test('stays bounded under sustained load, with readers about', { timeout: 20_000 }, async () => {
    const file = new TemporaryFile()
    const notes = topic<{ id: string; text: string }>('notes', { partitions: 4, id: (note) => note.id })
    const app = file.app()
    app.consume(notes, 'g', ({ id }, { tx }) => tx.run('insert into effect values (?, 1)', id))
    await app.start()
    const text = 'x'.repeat(4_000)
    let largest = 0
    let written = 0
    const endMs = performance.now() + 1_500
    for (let round = 0; performance.now() < endMs; round++) {
      await app.publishMany(
        notes,
        Array.from({ length: 500 }, (_, number) => ({ data: { id: `${round}-${number}`, text } })),
      )
      written += 500 * text.length
      largest = Math.max(largest, (await app.status()).database.walBytes)
    }
    expect(written).toBeGreaterThan(10_000_000)
    expect(largest).toBeLessThan(96 * 1024 * 1024)
    await app.idle()
    await app.stop()
  })

  test('is moved into the database while all is quiet', async () => {
    const file = new TemporaryFile('')
    const app = file.app()
    await app.start()
    const notes = topic<string>('notes', { partitions: 1 })
    await app.publishMany(
      notes,
      Array.from({ length: 2_000 }, () => ({ data: 'x'.repeat(4_000) })),
    )
    const before = (await app.status()).database.walBytes
    expect(before).toBeGreaterThan(4 * 1024 * 1024)
    const moved = (): number =>
      file
        .rows<{ log: number; checkpointed: number }>('pragma wal_checkpoint(noop)')
        .map((row) => row.log - row.checkpointed)[0] ?? -1
    await until(
      () => moved() === 0,
      () => `${moved()} frames not moved`,
    )
  })
})
