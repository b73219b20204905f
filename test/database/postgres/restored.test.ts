import { expect, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'

interface Note {
  readonly id: string
}

const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id })

test('tables restored into a server that has counted fewer transactions: what was applied stays so, the rest and what is new is applied once', async () => {
  const { pool } = await temporaryPostgres()
  await pool.query('create table effect (id text)')
  const app = () => {
    const made = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
    made.consume(notes, 'g', ({ id }, { tx }) => tx.query('insert into effect values ($1)', [id]))
    return made
  }
  const before = app()
  await before.start()
  await before.publish(notes, { id: 'applied' })
  await before.idle()
  await before.stop()
  const publisher = stopAfterwards(onefold({ database: postgres(pool) }))
  await publisher.publish(notes, { id: 'waiting' })
  await publisher.stop()
  // As a dump from a busier server would have it.
  await pool.query("update onefold.partition set seen = '900000000:900000000:'")
  await pool.query("update onefold.log set xid = case id when 'applied' then '899999999'::xid8 else '900000001'::xid8 end")
  const incarnation = async () => (await pool.query("select value from onefold.meta where name = 'incarnation'")).rows[0].value
  const old = await incarnation()

  const after = app()
  await after.start()
  await after.publish(notes, { id: 'new' })
  await after.publish(notes, { id: 'applied' })
  await after.idle()
  expect((await pool.query('select id from effect')).rows.map((row) => row.id)).toEqual(['applied', 'waiting', 'new'])
  expect((await pool.query('select id, "offset" from onefold.message order by 2')).rows).toEqual([
    { id: 'applied', offset: '1' },
    { id: 'waiting', offset: '2' },
    { id: 'new', offset: '3' },
  ])
  expect(await incarnation()).not.toBe(old)
})
