import { expect, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'

const notes = topic<{ id: string }>('notes', { partitions: 1, id: (note) => note.id, key: (note) => note.id })

test('a handler whose statement does not end: the server ends it soon after the time is over, the attempt counts, and others go on', async () => {
  const { pool } = await temporaryPostgres()
  await pool.query('create table effect (id text)')
  const app = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
  app.consume(notes, {
    group: 'g',
    transactionTimeoutMs: 300,
    maxAttempts: 1,
    apply: async ({ id }, { tx }) => {
      await tx.query('insert into effect values ($1)', [id])
      if (id === 'endless') await tx.query('select pg_sleep(3600)')
    },
  })
  await app.start()
  for (const id of ['a', 'endless', 'b']) await app.publish(notes, { id })
  await app.idle()
  expect((await pool.query('select id from effect order by id')).rows.map((row) => row.id)).toEqual(['a', 'b'])
  expect(await app.attention.list()).toMatchObject([
    { envelope: { id: 'endless' }, attempts: 1, errorMessage: expect.stringContaining('transactionTimeoutMs (300 ms)') },
  ])
}, 30_000)
