import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { BetterSqlite } from '../../support/better-sqlite3.ts'
import { stopAfterwards, TemporaryFile, temporaryFolder } from '../../support/temporary.ts'
import { rejection, sleep, until } from '../../support/until.ts'

const transfers = topic<{ id: string; from: string; to: string; amount: number }>('transfers', {
  partitions: 2,
  id: (transfer) => transfer.id,
  key: (transfer) => transfer.from,
})
const echoes = topic<{ of: string }>('echoes', { partitions: 1, id: (echo) => echo.of })
const tables = `create table account (id text primary key, balance integer not null); create table effect (id text primary key);
  insert into account values ('a', 0), ('b', 0), ('c', 0), ('d', 0)`

/** Money is only moved: whatever moment a copy shows, the sum is nothing, and effects, messages and proofs agree. */
function audit(file: string): { applied: number } {
  const copy = new DatabaseSync(file, { readOnly: true })
  try {
    const one = (sql: string): unknown => Object.values(copy.prepare(sql).get() as object)[0]
    expect(one('pragma integrity_check')).toBe('ok')
    expect(one('select sum(balance) from account')).toBe(0)
    const applied = one('select count(*) from effect') as number
    expect(one('select sum(applied) from onefold_checkpoint')).toBe(applied)
    expect(one("select count(*) from onefold_message where topic = 'echoes'")).toBe(applied)
    expect(one('select count(*) from onefold_owner')).toBe(0)
    expect(one('select count(*) from onefold_lease where owner is not null')).toBe(0)
    return { applied }
  } finally {
    copy.close()
  }
}

function consuming(file: TemporaryFile) {
  const app = file.app()
  app.consume(transfers, {
    group: 'g',
    batchSize: 20,
    apply: ({ id, from, to, amount }, { tx, publish }) => {
      tx.run('update account set balance = balance - ? where id = ?', amount, from)
      tx.run('update account set balance = balance + ? where id = ?', amount, to)
      tx.run('insert into effect values (?)', id)
      publish(echoes, { of: id })
    },
  })
  return app
}

const lanes = ['a', 'b', 'c', 'd']
const some = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    data: { id: `${from + index}`, from: lanes[index % 4] ?? 'a', to: lanes[(index + 1) % 4] ?? 'b', amount: index },
  }))

describe('a backup of a database in use', () => {
  test('is consistent and whole, a new incarnation that nobody owns, and goes on from where it was taken', async () => {
    const file = new TemporaryFile(tables)
    const app = consuming(file)
    await app.start()
    let stop = false
    let published = 0
    const writing = (async () => {
      while (!stop) {
        await app.publishMany(transfers, some(published, 50))
        published += 50
        await sleep(1)
      }
    })()
    await until(() => published > 200, 'some work')
    const copies: string[] = []
    const progress: number[] = []
    for (let number = 0; number < 4; number++) {
      const copy = join(temporaryFolder(), `copy-${number}.db`)
      await app.backup(copy, { onProgress: (done, total) => progress.push(done / total) })
      copies.push(copy)
      await sleep(30)
    }
    stop = true
    await writing
    await app.idle()
    expect(progress.at(-1)).toBe(1)
    for (const copy of copies) expect(readdirSync(dirname(copy))).toEqual([copy.slice(dirname(copy).length + 1)])
    const applied = copies.map((copy) => audit(copy).applied)
    expect(applied).toEqual(applied.toSorted((a, b) => a - b))
    expect(applied[3]).toBeGreaterThan(applied[0] as number)

    const incarnation = (await app.status()).database.incarnation
    const restored = new TemporaryFile('', copies[3])
    const other = consuming(restored)
    expect((await other.status()).database.incarnation).not.toBe(incarnation)
    await other.start()
    expect(await other.publish(transfers, some(0, 1)[0]!.data)).toMatchObject({ status: 'duplicate' })
    await other.publishMany(transfers, some(1_000_000, 10))
    await other.idle()
    expect(restored.column('select sum(balance) from account')).toEqual([0])
    expect(restored.column('select count(*) from effect')).toEqual(restored.column('select sum(applied) from onefold_checkpoint'))
  })

  test('is refused where there is a file already, which stays as it was', async () => {
    const file = new TemporaryFile('')
    const app = file.app()
    await app.publish(echoes, { of: 'x' })
    const there = join(temporaryFolder(), 'there')
    writeFileSync(there, 'mine')
    expect(await rejection(app.backup(there))).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'file' } })
    expect(await rejection(app.backup(file.path))).toMatchObject({ code: 'OPTION_INVALID' })
    const { readFileSync } = await import('node:fs')
    expect(readFileSync(there, 'utf8')).toBe('mine')
    expect((await app.publish(echoes, { of: 'x' })).status).toBe('duplicate')
  })

  test('that is aborted, or has no folder to go to, leaves nothing behind and hurts nothing', async () => {
    const file = new TemporaryFile('')
    const app = file.app()
    await app.publishMany(
      echoes,
      Array.from({ length: 20_000 }, (_, number) => ({ data: { of: `${number} ${'x'.repeat(300)}` } })),
    )
    const folder = temporaryFolder()
    const controller = new AbortController()
    const error = await rejection(
      app.backup(join(folder, 'copy.db'), { signal: controller.signal, onProgress: () => controller.abort() }),
    )
    expect(error).toMatchObject({ code: 'ABORTED' })
    expect(readdirSync(folder)).toEqual([])
    expect(await rejection(app.backup(join(folder, 'copy.db'), { signal: AbortSignal.abort() }))).toMatchObject({
      code: 'ABORTED',
    })
    const missing = await rejection(app.backup(join(folder, 'no', 'copy.db')))
    expect(missing.code).toMatch(/^DATABASE_/)
    expect(missing.message).toContain(join(folder, 'no', 'copy.db'))
    expect(readdirSync(folder)).toEqual([])
    await app.backup(join(folder, 'copy.db'))
    expect(existsSync(join(folder, 'copy.db'))).toBe(true)
  })

  test('a left-over of a backup that was killed is replaced', async () => {
    const file = new TemporaryFile('')
    const app = file.app()
    await app.publish(echoes, { of: 'x' })
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'copy.db.partial'), 'half of it')
    await app.backup(join(folder, 'copy.db'))
    expect(readdirSync(folder)).toEqual(['copy.db'])
  })

  test('over a better-sqlite3 handle it is refused with the way to do it', async () => {
    const file = new TemporaryFile('')
    const handle = new BetterSqlite(file.path)
    const app = stopAfterwards(onefold({ database: sqlite(handle) }))
    await app.publish(echoes, { of: 'x' })
    expect(await rejection(app.backup(`${file.path}.copy`))).toMatchObject({
      code: 'NOT_POSSIBLE',
      message: expect.stringContaining('onefold backup'),
    })
    await app.stop()
    handle.close()
  })
})
