import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { PostgresOptions, PostgresTx } from '../../../src/database/postgres/index.ts'
import { postgres } from '../../../src/database/postgres/index.ts'
import type { App } from '../../../src/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { pgbouncer, pgbouncerMissing } from '../../support/pgbouncer.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { tcpProxy } from '../../support/tcp-proxy.ts'
import { stopAfterwards } from '../../support/temporary.ts'

interface Note {
  readonly id: string
}
const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id })
const insert = 'insert into effect values ($1)'

interface Ledger {
  readonly app: App<PostgresTx>
  readonly attempts: number[]
  readonly applied: () => Promise<string[]>
  readonly prepared: () => Promise<string[]>
  publish(from: number, to: number): Promise<void>
}

/** One connection for everything that is no LISTEN, so that it is known what is prepared where. */
async function ledgerOn(url: string, options: PostgresOptions = {}, pipeline = true): Promise<Ledger> {
  const pool = new Pool({ connectionString: url, max: 1, pipeline })
  await pool.query('create table effect (id text)')
  const app = stopAfterwards(onefold({ source: 'shop', database: postgres(pool, { migrations: 'apply', ...options }) }))
  onTestFinished(async () => {
    await app.stop()
    await pool.end()
  })
  const attempts: number[] = []
  app.consume(notes, {
    group: 'g',
    maxAttempts: 1,
    apply: async ({ id }, { tx, attempt }) => {
      await tx.query('select * from effect limit 1')
      await tx.query(insert, [id])
      attempts.push(attempt)
    },
  })
  return {
    app,
    attempts,
    applied: async () => (await pool.query('select id from effect order by id')).rows.map((row) => row.id),
    prepared: async () =>
      (await pool.query('select name, statement from pg_prepared_statements order by name')).rows.map((row) => row.statement),
    publish: async (from, to) => {
      for (let n = from; n < to; n++) await app.publish(notes, { id: idOf(n) })
      await app.idle()
    },
  }
}

const idOf = (n: number): string => `n${String(n).padStart(3, '0')}`
const idsUpTo = (to: number): string[] => Array.from({ length: to }, (_, n) => idOf(n))

test.each([true, false])('statements that are executed often are prepared, of handlers too (pipeline: %s)', async (pipeline) => {
  const { url } = await temporaryPostgres()
  const { app, publish, prepared, applied } = await ledgerOn(url, {}, pipeline)
  await app.start()
  await publish(0, 20)
  const statements = await prepared()
  expect(statements).toContain(insert)
  expect(statements.some((text) => text.includes('"onefold".publish('))).toBe(true)
  expect(await applied()).toEqual(idsUpTo(20))
})

test('what is executed once is not prepared', async () => {
  const { url } = await temporaryPostgres()
  const { app, prepared } = await ledgerOn(url)
  for (let n = 0; n < 20; n++) await app.transaction(({ tx }) => tx.query(`insert into effect values ('own ${n}')`))
  expect((await prepared()).filter((text) => text.includes('own'))).toEqual([])
})

test('preparedStatements: false: none are', async () => {
  const { url } = await temporaryPostgres()
  const { app, publish, prepared, applied } = await ledgerOn(url, { preparedStatements: false })
  await app.start()
  await publish(0, 20)
  expect(await prepared()).toEqual([])
  expect(await applied()).toEqual(idsUpTo(20))
})

test('DEALLOCATE ALL on a connection of the pool: no message fails for it', async () => {
  const { url } = await temporaryPostgres()
  const { app, publish, applied, attempts } = await ledgerOn(url)
  await app.start()
  await publish(0, 20)
  // On the only connection that the pool has.
  await app.transaction(({ tx }) => tx.query('deallocate all'))
  await publish(20, 60)
  expect(await applied()).toEqual(idsUpTo(60))
  expect(new Set(attempts)).toEqual(new Set([1]))
  expect(await app.attention.list()).toEqual([])
})

test('what fails after a publish has committed makes no duplicate of what it sent: receipts are those of the first time', async () => {
  const { url } = await temporaryPostgres()
  const pool = new Pool({ connectionString: url, max: 1 })
  const app = stopAfterwards(onefold({ source: 'shop', database: postgres(pool, { migrations: 'apply' }) }))
  onTestFinished(async () => {
    await app.stop()
    await pool.end()
  })
  const publish = async (...ids: string[]): Promise<string[]> =>
    (
      await app.publishMany(
        notes,
        ids.map((id) => ({ data: { id } })),
      )
    ).map(({ status }) => status)
  for (let n = 0; n < 10; n++) await publish('known')
  // The second statement of a publish that meets a known identity, and only that.
  const { rows } = await pool.query("select name from pg_prepared_statements where statement like '%encode(i.body%'")
  expect(rows).toHaveLength(1)
  await pool.query(`deallocate ${rows[0].name}`)
  expect(await publish('new', 'known', 'new')).toEqual(['accepted', 'duplicate', 'duplicate'])
  expect((await pool.query('select id from onefold.message order by id')).rows.map((row) => row.id)).toEqual(['known', 'new'])
})

test('a table gets a column while its rows are read by a prepared statement: no message fails for it', async () => {
  const { url, pool } = await temporaryPostgres()
  const { app, publish, applied, prepared, attempts } = await ledgerOn(url)
  await app.start()
  await publish(0, 20)
  expect(await prepared()).toContain('select * from effect limit 1')
  await pool.query('alter table effect add column more integer')
  await publish(20, 40)
  expect(await applied()).toEqual(idsUpTo(40))
  expect(new Set(attempts)).toEqual(new Set([1]))
  expect(await app.attention.list()).toEqual([])
  expect(await prepared()).toContain('select * from effect limit 1')
})

test('two apps on one pool: their statements do not get in the way of each other', async () => {
  const { url } = await temporaryPostgres()
  const pool = new Pool({ connectionString: url, max: 3, pipeline: true })
  onTestFinished(() => pool.end())
  const apps = ['one', 'two'].map((schema) =>
    stopAfterwards(onefold({ source: 'shop', database: postgres(pool, { migrations: 'apply', schema }) })),
  )
  for (let n = 0; n < 20; n++) for (const app of apps) await app.publish(notes, { id: idOf(n) })
  for (const schema of ['one', 'two'])
    expect((await pool.query(`select id from ${schema}.message order by id`)).rows.map((row) => row.id)).toEqual(idsUpTo(20))
})

test('behind a pooler in transaction mode nothing is prepared', async (context) => {
  if (pgbouncerMissing !== undefined) context.skip(pgbouncerMissing)
  const { url } = await temporaryPostgres()
  const { app, publish, prepared, applied } = await ledgerOn(await pgbouncer(url), { listen: false, pollMs: 20 })
  await app.start()
  await publish(0, 20)
  expect(await prepared()).toEqual([])
  expect(await applied()).toEqual(idsUpTo(20))
})

test('a connection that breaks while it is asked where it leads ends nobody, and the next one is asked', async () => {
  const { url } = await temporaryPostgres()
  const { hostname, port } = new URL(url)
  const proxy = await tcpProxy({ host: hostname, port: Number(port) })
  onTestFinished(() => proxy.stop())
  const through = new URL(url)
  through.port = String(proxy.port)
  const cut = proxy.cutAt('select pg_backend_pid() as pid', 'never-sent')
  const pool = new Pool({ connectionString: through.href, max: 2 })
  const app = stopAfterwards(onefold({ source: 'shop', database: postgres(pool, { migrations: 'apply' }) }))
  onTestFinished(async () => {
    await app.stop()
    await pool.end()
  })
  await app.publish(notes, { id: 'a' }).catch(() => undefined)
  await cut
  for (let n = 0; n < 20; n++) await app.publish(notes, { id: idOf(n) })
  expect((await pool.query('select id from onefold.message order by id')).rows.map((row) => row.id).slice(-20)).toEqual(
    idsUpTo(20),
  )
})

test('preparedStatements that is neither true nor false is refused by name', () => {
  const pool = new Pool()
  expect(() => postgres(pool, { preparedStatements: 'yes' as never })).toThrow(
    expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining('preparedStatements') }),
  )
})
