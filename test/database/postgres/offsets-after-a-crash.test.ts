import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgres } from '../../../scripts/engines/postgres.ts'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id })

/**
 * The window is of microseconds: a message that was on disk before the crash, but not yet visible when offsets were given, and a commit
 * that gave them and was not on disk. So what recovery leaves behind is made by hand.
 */
test('offsets that were lost in a crash are given anew in another order: what a consumer had read before is read again, and all is applied once', async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  const pool = new Pool({ connectionString: server.url, max: 8 })
  pool.on('error', () => undefined)
  onTestFinished(() => pool.end())
  await pool.query('create table effect (id text)')
  const app = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply', pollMs: 50 }), leaseMs: 60_000 }))
  let reached: () => void = () => undefined
  const inHand = new Promise<void>((resolve) => {
    reached = resolve
  })
  let go: () => void = () => undefined
  const crashed = new Promise<void>((resolve) => {
    go = resolve
  })
  app.consume(notes, 'g', async ({ id }, { tx }) => {
    if (id === 'a') {
      reached()
      await crashed
    }
    await tx.query('insert into effect values ($1)', [id])
  })
  const publisher = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
  await publisher.publishMany(notes, [{ data: { id: 'c' } }, { data: { id: 'a' } }, { data: { id: 'b' } }])
  // As if c had not been visible yet: it has no offset when the consumer reads.
  await pool.query("update onefold.log set xid = '3' where id = 'c'")
  await pool.query(
    `insert into onefold.log_position select 1, 2, 1, array_agg(message order by message) from onefold.log where id <> 'c'`,
  )
  await pool.query('update onefold.partition set head = 2, seen = pg_current_snapshot()')
  await app.start()
  await inHand
  await server.crash()
  await server.restart()
  // What is left of it after the crash: no offsets, and c among the others.
  await pool.query('delete from onefold.log_position')
  await pool.query("update onefold.partition set head = 0, seen = '3:3:'")
  await pool.query("update onefold.log set xid = '3'")
  go()
  const effects = async (): Promise<string[]> => (await pool.query('select id from effect order by id')).rows.map((row) => row.id)
  await until(async () => (await effects()).length >= 3, 'all are applied', 20_000)
  expect(await effects()).toEqual(['a', 'b', 'c'])
}, 60_000)
