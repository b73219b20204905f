import { drizzle } from 'drizzle-orm/node-postgres'
import { expect, test } from 'vitest'
import { fromDrizzle, postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { rejection } from '../../support/until.ts'

const notes = topic<{ id: string }>('notes', { id: (note) => note.id })

test.each([true, false])(
  "a client that is connected to another database than the pool is refused, and nothing is written there (tables of Onefold's in it: %s)",
  async (withTables: boolean) => {
    const [one, two] = [await temporaryPostgres(), await temporaryPostgres()]
    if (withTables) await stopAfterwards(onefold({ database: postgres(two.pool, { migrations: 'apply' }) })).status()
    await two.pool.query('create table effect (id text)')
    const transactions = fromDrizzle(drizzle({ client: two.pool }))
    const app = stopAfterwards(onefold({ database: postgres(one.pool, { transactions, migrations: 'apply' }) }))
    const writing = app.transaction(async ({ tx, publish }) => {
      await tx.execute("insert into effect values ('x')")
      publish(notes, { id: 'x' })
    })
    expect(await rejection(writing)).toMatchObject({
      code: 'DATABASE_UNSUITABLE',
      message: expect.stringMatching(/drizzle is connected to another database .* Give both the same/),
    })
    expect((await two.pool.query('select id from effect')).rows).toEqual([])
  },
  30_000,
)
