import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { pgbouncer, pgbouncerMissing } from '../../support/pgbouncer.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'

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
