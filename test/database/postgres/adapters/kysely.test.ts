import type { Transaction } from 'kysely'
import { CamelCasePlugin, Kysely, PostgresDialect, sql } from 'kysely'
import { Pool } from 'pg'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { fromKysely, postgres } from '../../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { clientOf, describeClient } from '../../../support/postgres-clients.ts'

interface Tables {
  account: { id: string; balance: number | null }
  child: { id: string; parent: string | null }
}

describeClient('Kysely', {
  forgotten: 'never-runs',
  open({ pool }) {
    // The plugin would make `theNumber` of our `the_number`, if our statements went through it.
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
    return clientOf(fromKysely(db), {
      besides: [db, pool, db.withoutPlugins()],
      insert: (tx, id) => tx.insertInto('account').values({ id, balance: 1 }).execute(),
      insertChild: (tx, id, parent) => tx.insertInto('child').values({ id, parent }).execute(),
      forget: (tx, id) => tx.insertInto('account').values({ id, balance: 1 }),
      ids: async (tx) => (await tx.selectFrom('account').select('id').execute()).map(({ id }) => id),
      own: (work) => db.transaction().execute(work),
      end: (tx) => sql`commit`.execute(tx),
      close: async () => undefined,
    })
  },
})

describe('fromKysely', () => {
  const notes = topic<{ id: string }>('notes')
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: new Pool() }) })

  test("tx is Kysely's Transaction of the same tables, and the instance beside it does not compile", () => {
    const app = onefold({ database: postgres(new Pool(), { transactions: fromKysely(db) }) })
    app.consume(notes, 'g', async (note, { tx }) => {
      expectTypeOf(tx).not.toBeAny()
      expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>()
      const row = await tx.selectFrom('account').select('balance').where('id', '=', note.id).executeTakeFirst()
      expectTypeOf(row?.balance).toEqualTypeOf<number | null | undefined>()
      // @ts-expect-error no such table
      await tx.selectFrom('nothing').execute()
    })
    // @ts-expect-error not a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: db }))
  })

  test('takes an instance and nothing else', () => {
    const taken = (value: unknown) => () => fromKysely(value as typeof db)
    for (const value of [undefined, null, {}, new Pool()])
      expect(taken(value)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})
