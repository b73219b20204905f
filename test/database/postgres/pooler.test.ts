import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { fromDrizzle, postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { pgbouncer, pgbouncerMissing } from '../../support/pgbouncer.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { partitions: 4, id: (note) => note.id })
const echoes = topic<Note>('echoes', { id: (note) => note.id })

test('behind a pooler in transaction mode, two processes on few connections: each message takes effect once, a failed one at its second attempt', async (context) => {
  if (pgbouncerMissing !== undefined) context.skip(pgbouncerMissing)
  const { url, pool: direct } = await temporaryPostgres()
  await direct.query('create table effect (id text)')
  const pooled = await pgbouncer(url)
  const apps = [1, 2].map(() => {
    const pool = new Pool({ connectionString: pooled, max: 6 })
    onTestFinished(() => pool.end())
    const app = stopAfterwards(
      onefold({ source: 'shop', database: postgres(pool, { migrations: 'apply', listen: false, pollMs: 50 }) }),
    )
    app.consume(notes, 'g', async ({ id }, { tx, publish, attempt }) => {
      await tx.query('insert into effect values ($1)', [id])
      publish(echoes, { id })
      if (id === 'n7' && attempt === 1) throw new Error('not yet')
    })
    return app
  })
  for (const app of apps) await app.start()
  const all = Array.from({ length: 200 }, (_, number) => ({ data: { id: `n${number}` } }))
  await Promise.all(apps.map((app) => app.publishMany(notes, all)))
  await apps[0]?.transaction(async ({ tx, publish }) => {
    await tx.query("insert into effect values ('own')")
    publish(echoes, { id: 'own' })
  })
  for (const app of apps) await app.idle()
  const ids = async (text: string): Promise<string[]> => (await direct.query(text)).rows.map((row) => row.id)
  const expected = [...all.map(({ data }) => data.id), 'own'].toSorted()
  expect((await ids('select id from effect')).toSorted()).toEqual(expected)
  expect((await ids("select id from onefold.message where topic = 'echoes'")).toSorted()).toEqual(expected)
}, 30_000)

test('behind a pooler in transaction mode a handler that says COMMIT is refused, and its connection serves others', async (context) => {
  if (pgbouncerMissing !== undefined) context.skip(pgbouncerMissing)
  const { url, pool: direct } = await temporaryPostgres()
  await direct.query('create table effect (id text)')
  const pool = new Pool({ connectionString: await pgbouncer(url), max: 4 })
  onTestFinished(() => pool.end())
  const transactions = fromDrizzle(drizzle({ client: pool }))
  const app = stopAfterwards(
    onefold({ database: postgres(pool, { transactions, migrations: 'apply', listen: false, pollMs: 50 }) }),
  )
  app.consume(notes, {
    group: 'g',
    maxAttempts: 1,
    async apply({ id }, { tx }) {
      await tx.execute(sql`insert into effect values (${id})`)
      if (id === 'n7') await tx.execute(sql`commit`)
    },
  })
  const all = Array.from({ length: 200 }, (_, number) => ({ data: { id: `n${number}` } }))
  await app.publishMany(notes, all)
  await app.start()
  await until(async () => (await app.attention.list()).length > 0, 'the one that commits waits for a person', 15_000)
  await app.idle()
  expect((await app.attention.list()).map((item) => item.envelope.id)).toEqual(['n7'])
  const others = all.map(({ data }) => data.id).filter((id) => id !== 'n7')
  expect((await direct.query('select id from effect')).rows.map((row) => row.id).toSorted()).toEqual(others.toSorted())
}, 30_000)
