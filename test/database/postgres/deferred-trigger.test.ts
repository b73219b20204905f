import { expect, test } from 'vitest'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { rejection, until } from '../../support/until.ts'

const notes = topic<{ id: string }>('notes', { partitions: 1, id: (note) => note.id })

const tables = `
  create table effect (id text primary key);
  create function refuse() returns trigger language plpgsql as
    $$ begin if new.id = 'refused' then raise exception 'refused by the trigger'; end if; return null; end $$;
  create constraint trigger refuse after insert on effect deferrable initially deferred for each row execute function refuse()`

test('a deferred trigger that raises an error of its own at COMMIT: its message waits for a person, its neighbours are applied', async () => {
  const { pool } = await temporaryPostgres()
  await pool.query(tables)
  const app = stopAfterwards(onefold({ database: postgres(pool, { migrations: 'apply' }) }))
  app.consume(notes, {
    group: 'g',
    maxAttempts: 1,
    apply: ({ id }, { tx }) => tx.query('insert into effect values ($1)', [id]),
  })
  await app.publishMany(
    notes,
    ['a', 'refused', 'b'].map((id) => ({ data: { id } })),
  )
  await app.start()
  await until(async () => (await app.attention.list()).length > 0, 'the message waits for a person', 8_000)
  await app.idle()
  expect(await app.attention.list()).toMatchObject([{ errorMessage: expect.stringContaining('refused by the trigger') }])
  const inTransaction = app.transaction(({ tx }) => tx.query("insert into effect values ('refused')"))
  expect(await rejection(inTransaction)).toMatchObject({ code: 'COMMIT_REFUSED' })
  expect((await pool.query('select id from effect order by id')).rows).toEqual([{ id: 'a' }, { id: 'b' }])
}, 30_000)
