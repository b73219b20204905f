import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id })

test("another process's messages are noticed without looking, also after the listening connection was ended", async () => {
  const { url, pool } = await temporaryPostgres()
  const app = (): ReturnType<typeof onefold> => {
    const own = new Pool({ connectionString: url, max: 4 })
    onTestFinished(() => own.end())
    // Looking is as good as switched off.
    return stopAfterwards(onefold({ database: postgres(own, { migrations: 'apply', pollMs: 60_000 }) as never }))
  }
  const [consumer, publisher] = [app(), app()]
  const applied: string[] = []
  consumer.consume(notes, 'g', ({ id }) => void applied.push(id))
  await consumer.start()
  const listening = async (): Promise<number[]> =>
    (await pool.query(`select pid from pg_stat_activity where datname = current_database() and query like 'listen %'`)).rows.map(
      (row) => row.pid,
    )
  await publisher.publish(notes, { id: 'a' })
  await until(() => applied.includes('a'), 'a is applied')
  const before = await listening()
  expect(before).toHaveLength(2)
  await pool.query('select pg_terminate_backend(pid) from unnest($1::int[]) pid', [before])
  await until(async () => (await listening()).filter((pid) => !before.includes(pid)).length === 2, 'both listen again')
  await publisher.publish(notes, { id: 'b' })
  await until(() => applied.includes('b'), 'b is applied')
}, 30_000)

test("a message in the user's own transaction is noticed soon after its commit", async () => {
  const { url, pool } = await temporaryPostgres()
  const own = new Pool({ connectionString: url, max: 4 })
  onTestFinished(() => own.end())
  const app = stopAfterwards(onefold({ database: postgres(own, { migrations: 'apply', pollMs: 60_000 }) }))
  const applied: string[] = []
  app.consume(notes, 'g', ({ id }) => void applied.push(id))
  await app.start()
  const client = await pool.connect()
  await client.query('begin')
  await app.publish(notes, { id: 'a' }, { tx: client })
  await client.query('commit')
  client.release()
  await until(() => applied.includes('a'), 'it is applied')
}, 30_000)
