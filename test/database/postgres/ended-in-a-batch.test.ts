import { knex } from 'knex'
import { expect, onTestFinished, test } from 'vitest'
import type { PostgresTx } from '../../../src/database/postgres/index.ts'
import { fromKnex, postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

interface Note {
  readonly id: string
}
const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id })
const heard = topic<Note>('heard', { partitions: 1, id: (note) => note.id })
const ids = Array.from({ length: 40 }, (_, n) => `n${String(n).padStart(2, '0')}`)
const bad = 'n30'

/** SQL of a handler ends the transaction of a batch that has no savepoints; what comes after it is none of any transaction. */
test.each(['pg', 'knex'] as const)(
  'a handler that ends the transaction of a batch, with %s: it alone waits for a person, and nothing of the others is lost',
  async (client) => {
    const { pool, url } = await temporaryPostgres()
    await pool.query('create table effect (id text)')
    const builder = knex({ client: 'pg', connection: url })
    const database =
      client === 'pg'
        ? postgres(pool, { migrations: 'apply' })
        : postgres(pool, { migrations: 'apply', transactions: fromKnex(builder) })
    onTestFinished(async () => {
      await builder.destroy()
    })
    const app = stopAfterwards(onefold({ database: database as ReturnType<typeof postgres> }))
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      apply: async ({ id }, { tx, publish }) => {
        const run = async (sql: string): Promise<unknown> =>
          client === 'pg' ? (tx as PostgresTx).query(sql) : (tx as unknown as { raw(sql: string): Promise<unknown> }).raw(sql)
        await run(`insert into effect values ('${id}')`)
        publish(heard, { id })
        if (id === bad) await run('select 1; rollback')
      },
    })
    await app.publishMany(
      notes,
      ids.map((id) => ({ data: { id } })),
    )
    await app.start()
    await until(
      async () => (await app.attention.list()).length > 0,
      async () => JSON.stringify((await pool.query('select id from effect')).rows),
      20_000,
    )
    await app.idle()
    const others = ids.filter((id) => id !== bad)
    expect((await pool.query('select id from effect order by id')).rows.map((row) => row.id)).toEqual(others)
    expect(
      (await pool.query("select id from onefold.message where topic = 'heard' order by id")).rows.map((row) => row.id),
    ).toEqual(others)
    expect((await app.attention.list()).map((item) => item.envelope.id)).toEqual([bad])
    await app.stop()
    await builder.destroy()
  },
)
