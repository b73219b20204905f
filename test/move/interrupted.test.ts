import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Pool } from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { postgres } from '../../src/database/postgres/index.ts'
import { ownTables } from '../../src/database/postgres/move-target.ts'
import { onefold, topic } from '../../src/index.ts'
import type { MoveOptions } from '../../src/move/move.ts'
import { activate, giveUp, move } from '../../src/move/move.ts'
import type { Point } from '../../src/points.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { faultyPool } from '../support/faulty-pool.ts'
import { endsOf } from '../support/move-scene.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { publishProcess } from '../support/publish-process.ts'
import { stopAfterwards, TemporaryFile, temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { partitions: 2, id: (note) => note.id, key: (note) => note.id })
// Dozens of small commits on a server.
vi.setConfig({ testTimeout: 60_000 })

const few: MoveOptions = { limits: { rows: 3, bytes: 1_000 } }

let used: Promise<TemporaryFile> | undefined

/** Ten messages, of which a group has applied five, and another has left five to a person. */
async function usedFile(): Promise<TemporaryFile> {
  used ??= makeUsedFile()
  const file = new TemporaryFile('', join(temporaryFolder(), 'app.db'))
  // Nobody has it open any more, so the file is all of it.
  copyFileSync((await used).path, file.path)
  file.exec(`update onefold_meta set value = '${crypto.randomUUID()}' where name = 'incarnation'`)
  return file
}

async function makeUsedFile(): Promise<TemporaryFile> {
  const file = new TemporaryFile('')
  const tables = new DatabaseSync(file.path)
  tables.exec('pragma journal_mode = wal; create table effect (id text, value integer)')
  tables.close()
  const app = file.app()
  app.consume(notes, { group: 'g', maxAttempts: 1, apply: ({ id }, { tx }) => tx.run('insert into effect values (?, 1)', id) })
  app.consume(notes, { group: 'broken', maxAttempts: 1, apply: () => Promise.reject(new Error('broken')) })
  await app.start()
  for (const id of ['a', 'b', 'c', 'd', 'e']) await app.publish(notes, { id })
  await app.idle()
  await app.stop()
  const publisher = file.app()
  for (const id of ['f', 'g', 'h', 'i', 'j']) await publisher.publish(notes, { id })
  await publisher.stop()
  return file
}

/** What the program on the target has applied of its own, after the move. */
async function appliedThere(pool: Pool): Promise<string[]> {
  const applied: string[] = []
  const app = stopAfterwards(onefold({ database: postgres(pool) }))
  app.consume(notes, 'g', ({ id }) => void applied.push(id))
  await app.start()
  await app.idle()
  await app.stop()
  return applied.toSorted()
}

const rowsOf = async (pool: Pool): Promise<number> => {
  let rows = 0
  for (const table of ownTables.filter((name) => name !== 'meta'))
    rows += Number((await pool.query(`select count(*) as n from onefold."${table}"`)).rows[0].n)
  return rows
}

class Killed extends Error {}

/** The real runtime, in a process that does nothing more from a named point on. */
function diesAt(at: Point) {
  return {
    ...nodeRuntime(),
    reached: (point: Point) => {
      if (point === at) throw new Killed(at)
    },
  }
}

describe('a move that is interrupted goes on when it is begun again', () => {
  test.for([false, true])(
    'the connection is lost at any statement (executed before that: %s)',
    { timeout: 60_000 },
    async (executed) => {
      const file = await usedFile()
      const { pool } = await temporaryPostgres()
      // Each of the pool's users listens to its errors.
      pool.setMaxListeners(0)
      let failed = 0
      const untilDone = async (work: typeof move | typeof activate, step: number): Promise<number> => {
        for (let at = 1; ; at += step) {
          const faulty = faultyPool(pool, { at, executed })
          const ends = await endsOf(file.path, faulty)
          try {
            const { tables } = await work(ends, few)
            if (faulty.statements < at) return tables.filter(({ same }) => !same).length
            throw new Error(`nobody noticed that statement ${at} of ${faulty.statements} was lost`)
          } catch (error) {
            expect(error).toMatchObject({ code: 'DATABASE_IO' })
            failed++
          } finally {
            ends.close()
          }
        }
      }
      expect(await untilDone(move, 11)).toBe(0)
      expect(await untilDone(activate, 11)).toBe(0)
      expect(failed).toBeGreaterThan(20)
      expect(await appliedThere(pool)).toEqual(['f', 'g', 'h', 'i', 'j'])
    },
  )

  test('stopped by its signal, between two commits', async () => {
    const file = await usedFile()
    const { pool } = await temporaryPostgres()
    const ends = await endsOf(file.path, pool)
    const stop = new AbortController()
    const onProgress = (table: string): void => {
      if (table === 'log') stop.abort()
    }
    await expect(move(ends, { ...few, onProgress, signal: stop.signal })).rejects.toMatchObject({ code: 'ABORTED', retry: 'now' })
    await expect(file.app().publish(notes, { id: 'k' })).rejects.toMatchObject({ code: 'MOVED_TO' })
    await move(ends)
    await activate(ends)
    expect(await appliedThere(pool)).toEqual(['f', 'g', 'h', 'i', 'j'])
    ends.close()
  })

  test('two at once copy everything once', async () => {
    const file = await usedFile()
    const { pool } = await temporaryPostgres()
    const [one, other] = [await endsOf(file.path, pool), await endsOf(file.path, pool)]
    await Promise.all([move(one, few), move(other, few)])
    await activate(other)
    expect(await appliedThere(pool)).toEqual(['f', 'g', 'h', 'i', 'j'])
    one.close()
    other.close()
  })
})

test('whatever another process publishes during the copy is refused; what was accepted is applied once, here or there, while it all runs', async () => {
  const file = await usedFile()
  const consumer = file.app()
  consumer.consume(notes, 'g', ({ id }, { tx }) => tx.run('insert into effect values (?, 2)', id))
  await consumer.start()
  const { pool } = await temporaryPostgres()
  const child = spawn(process.execPath, [publishProcess, file.path, 'goes-on'], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const heard: string[] = []
  child.stdout.on('data', (chunk) => heard.push(...String(chunk).trim().split('\n')))
  const ended = once(child, 'close')
  await until(() => heard.length > 20 && file.effects().length > 10, 'it publishes, and what it publishes is applied')
  const ends = await endsOf(file.path, pool)
  await move(ends, few)
  await ended
  await activate(ends)
  ends.close()
  const accepted = heard.filter((line) => line.startsWith('accepted')).map((line) => line.split(' ')[1] as string)
  expect(heard.at(-1)).toMatch(/^refused \d+ MOVED_TO not-applied never$/)
  const expected = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', ...accepted]
  expect([...file.effects(), ...(await appliedThere(pool))].toSorted()).toEqual(expected.toSorted())
  // A consumer hears of it when it next writes: with its heartbeat, if nothing else comes before.
  await until(() => file.events.some(({ kind }) => kind === 'moved'), 'the consumer has heard of it')
  expect(file.events.filter(({ kind }) => kind === 'moved')).toHaveLength(1)
})

test('what is forgotten and only waits to be removed stays behind; texts are moved as the server can keep them', async () => {
  const file = await usedFile()
  file.exec(`
    insert into onefold_generation (generation, window, opened_ms, sealed_ms, dropped) select 77, min(window), 1, 2, 1 from onefold_window;
    insert into onefold_identity select 77, source, key, body from onefold_identity where generation <> 77;
    update onefold_attention set error_stack = 'nul ' || char(0), reason = char(0);
    update onefold_attempt set error_message = char(0) || ' at first';`)
  const { pool } = await temporaryPostgres()
  const ends = await endsOf(file.path, pool)
  const { tables } = await move(ends, few)
  await activate(ends)
  ends.close()
  const known = file.column<number>('select count(*) from onefold_identity where generation <> 77')[0]
  expect(tables.find(({ table }) => table === 'identity')?.target.rows).toBe(known)
  expect((await pool.query('select distinct error_stack, reason from onefold.attention')).rows).toEqual([
    { error_stack: 'nul \uFFFD', reason: '\uFFFD' },
  ])
  expect((await pool.query('select distinct error_message as text from onefold.attempt')).rows).toEqual([
    { text: '\uFFFD at first' },
  ])
  expect(await appliedThere(pool)).toEqual(['f', 'g', 'h', 'i', 'j'])
})

describe('a move is refused', () => {
  test('where the target holds messages, before anything is sealed', async () => {
    const file = await usedFile()
    const { pool } = await temporaryPostgres()
    const there = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
    await there.publish(notes, { id: 'theirs' })
    const ends = await endsOf(file.path, pool)
    await expect(move(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringMatching(/not empty \(.*log/) })
    expect(await file.app().publish(notes, { id: 'k' })).toMatchObject({ status: 'accepted' })
    expect(await there.publish(notes, { id: 'more' })).toMatchObject({ status: 'accepted' })
    await there.stop()
    ends.close()
  })

  test('where another file is being moved to the same place, or this one to another', async () => {
    const [file, other] = [await usedFile(), await usedFile()]
    const { pool } = await temporaryPostgres()
    const ends = await endsOf(file.path, pool)
    await move(ends)
    const second = await endsOf(other.path, pool)
    await expect(move(second)).rejects.toMatchObject({ code: 'NOT_POSSIBLE', details: { from: file.path } })
    expect(await other.app().publish(notes, { id: 'k' })).toMatchObject({ status: 'accepted' })
    const elsewhere = await endsOf(file.path, pool, { schema: 'elsewhere' })
    await expect(move(elsewhere)).rejects.toMatchObject({
      code: 'NOT_POSSIBLE',
      message: expect.stringContaining('schema onefold'),
    })
    await expect(giveUp(elsewhere)).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
    expect(await giveUp(second)).toBe(false)
    for (const each of [ends, second, elsewhere]) each.close()
  })

  test('by whoever had the empty target open before: nothing of theirs gets in between', async () => {
    const file = await usedFile()
    const { pool } = await temporaryPostgres()
    const early = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
    await early.status()
    const ends = await endsOf(file.path, pool)
    await move(ends)
    await expect(early.publish(notes, { id: 'theirs' })).rejects.toThrow(/before that is activated/)
    await activate(ends)
    expect(await early.publish(notes, { id: 'later' })).toMatchObject({ status: 'accepted' })
    await early.stop()
    ends.close()
  })
})

describe('activation', () => {
  test('is refused before the copy is complete, and of a copy that is not what the source holds', async () => {
    const file = await usedFile()
    const { pool } = await temporaryPostgres()
    const ends = await endsOf(file.path, pool)
    await expect(activate(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringMatching(/in use/) })
    const dies = await endsOf(file.path, pool, { runtime: diesAt('move:copied') })
    await expect(move(dies, few)).rejects.toThrow(Killed)
    await expect(activate(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringMatching(/not complete/) })
    await move(ends)
    await pool.query(
      'drop trigger before_activation on onefold.log; update onefold.log set data = \'{"id":"x"}\' where message = 3',
    )
    await expect(activate(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE', details: { tables: 'log' } })
    await expect(stopAfterwards(onefold({ database: postgres(pool) })).status()).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
    for (const each of [ends, dies]) each.close()
  })

  test('killed between its two commits works nowhere, and is finished by the same command; there is no way back from it', async () => {
    const file = await usedFile()
    const { pool } = await temporaryPostgres()
    const dies = await endsOf(file.path, pool, { runtime: diesAt('move:final') })
    await move(dies)
    await expect(activate(dies)).rejects.toThrow(Killed)
    await expect(file.app().publish(notes, { id: 'k' })).rejects.toMatchObject({ code: 'MOVED_TO' })
    await expect(stopAfterwards(onefold({ database: postgres(pool) })).status()).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
    const ends = await endsOf(file.path, pool)
    await expect(giveUp(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
    expect((await activate(ends)).state).toBe('activated')
    expect((await activate(ends)).state).toBe('activated')
    await expect(giveUp(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
    await expect(move(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
    expect(await appliedThere(pool)).toEqual(['f', 'g', 'h', 'i', 'j'])
    for (const each of [ends, dies]) each.close()
  })
})

describe('given up', () => {
  test.for(['move:reserved', 'move:sealed', 'move:copying', 'move:copied', 'move:finished'] as const)(
    'after it died at %s: the copy is gone, the file works, and can be moved again',
    async (point) => {
      const file = await usedFile()
      const { pool } = await temporaryPostgres()
      const dies = await endsOf(file.path, pool, { runtime: diesAt(point) })
      await expect(move(dies, few)).rejects.toThrow(Killed)
      const ends = await endsOf(file.path, pool)
      expect(await giveUp(ends)).toBe(true)
      expect(await rowsOf(pool)).toBe(0)
      expect(
        (await pool.query("select name from onefold.meta where name not in ('incarnation', 'schema_version')")).rows,
      ).toEqual([])
      const app = file.app()
      expect(await app.publish(notes, { id: 'k' })).toMatchObject({ status: 'accepted' })
      await move(ends)
      await activate(ends)
      expect(await appliedThere(pool)).toEqual(['f', 'g', 'h', 'i', 'j', 'k'])
      for (const each of [ends, dies]) each.close()
    },
  )

  test.for(['move:giving-up', 'move:thrown-away'] as const)(
    'and killed at %s: neither side works, nobody can activate it, and the same command finishes it',
    async (point) => {
      const file = await usedFile()
      const { pool } = await temporaryPostgres()
      const dies = await endsOf(file.path, pool, { runtime: diesAt(point) })
      await move(dies)
      await expect(giveUp(dies)).rejects.toThrow(Killed)
      const ends = await endsOf(file.path, pool)
      await expect(activate(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE' })
      await expect(move(ends)).rejects.toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringMatching(/given up/) })
      await expect(file.app().publish(notes, { id: 'k' })).rejects.toMatchObject({ code: 'MOVED_TO' })
      expect(await giveUp(ends)).toBe(true)
      expect(await giveUp(ends)).toBe(false)
      expect(await file.app().publish(notes, { id: 'k' })).toMatchObject({ status: 'accepted' })
      expect(await rowsOf(pool)).toBe(0)
      for (const each of [ends, dies]) each.close()
    },
  )
})
