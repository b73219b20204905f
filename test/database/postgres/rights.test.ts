import { Pool } from 'pg'
import { expect, onTestFinished, test, vi } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { ShiftedRuntime } from '../../support/shifted-runtime.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

vi.setConfig({ testTimeout: 30_000 })

const hourMs = 3_600_000
const notes = topic<{ id: string }>('notes', {
  partitions: 1,
  id: (note) => note.id,
  key: (note) => note.id,
  retentionMs: hourMs,
})

test('a program needs no right but to read and write the tables: it publishes, consumes, removes what is old, erases', async () => {
  const server = await temporaryPostgres()
  const role = `program_${new URL(server.url).pathname.slice(-12)}`
  const owner = onefold({ source: 's', database: postgres(server.pool, { migrations: 'apply', listen: false }) })
  await owner.status()
  await owner.stop()
  await server.pool.query(`
    create role ${role};
    grant usage on schema onefold to ${role};
    grant select, insert, update, delete on all tables in schema onefold to ${role}`)
  onTestFinished(async () => {
    await server.pool.query(`drop owned by ${role}; drop role ${role}`)
  })
  const pool = new Pool({ connectionString: server.url, options: `-c role=${role}` })
  onTestFinished(() => pool.end())
  const clock = new ShiftedRuntime()
  const app = stopAfterwards(onefold({ source: 's', runtime: clock.runtime, database: postgres(pool, { listen: false }) }))
  app.consume(notes, 'g', ({ id }) => {
    if (id === 'bad') throw new Error('bad')
  })
  await app.start()
  await app.publishMany(
    notes,
    ['a', 'b', 'b'].map((id) => ({ data: { id } })),
  )
  await app.idle()
  clock.pass(2 * hourMs)
  await until(async () => (await app.status()).topics[0]?.messages === 0, 'all to be removed')
  expect((await app.status()).topics).toMatchObject([{ accepted: 2, duplicates: 1, messages: 0 }])
  expect((await app.status()).database.bytes).toBeGreaterThan(0)
  await app.erase(notes, { key: 'a', by: 'mia' })
  await expect(pool.query('create table onefold.other (id integer)')).rejects.toThrow('permission denied')
})
