import { eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { drizzle as drizzleOverPostgresJs } from 'drizzle-orm/postgres-js'
import { Pool } from 'pg'
import postgresJs from 'postgres'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { fromDrizzle, postgres } from '../../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { clientOf, describeClient } from '../../../support/postgres-clients.ts'

const account = pgTable('account', { id: text().primaryKey(), balance: integer() })
const child = pgTable('child', { id: text().primaryKey(), parent: text() })

describeClient('Drizzle over pg', {
  forgotten: 'never-runs',
  open({ pool }) {
    const db = drizzle({ client: pool })
    return clientOf(fromDrizzle(db), {
      besides: [db, pool],
      insert: (tx, id) => tx.insert(account).values({ id, balance: 1 }),
      insertChild: (tx, id, parent) => tx.insert(child).values({ id, parent }),
      forget: (tx, id) => tx.insert(account).values({ id, balance: 1 }),
      ids: async (tx) => (await tx.select({ id: account.id }).from(account)).map(({ id }) => id),
      own: (work) => db.transaction(work),
      end: (tx) => tx.execute(sql`commit`),
      close: async () => undefined,
    })
  },
})

describeClient('Drizzle over postgres.js', {
  forgotten: 'never-runs',
  open({ url, pool }) {
    const client = postgresJs(url, { max: 4, onnotice: () => undefined })
    const db = drizzleOverPostgresJs({ client })
    return clientOf(fromDrizzle(db), {
      besides: [db, client, pool],
      insert: (tx, id) => tx.insert(account).values({ id, balance: 1 }),
      insertChild: (tx, id, parent) => tx.insert(child).values({ id, parent }),
      forget: (tx, id) => tx.insert(account).values({ id, balance: 1 }),
      ids: async (tx) => (await tx.select({ id: account.id }).from(account)).map(({ id }) => id),
      own: (work) => db.transaction(work),
      end: (tx) => tx.execute(sql`commit`),
      close: () => client.end(),
    })
  },
})

describe('fromDrizzle', () => {
  const notes = topic<{ id: string }>('notes')
  const db = drizzle({ client: new Pool(), schema: { account } })

  test("tx is Drizzle's own transaction, with the schema of the database, and the database beside it does not compile", () => {
    const app = onefold({ database: postgres(new Pool(), { transactions: fromDrizzle(db) }) })
    app.consume(notes, 'g', async (note, { tx }) => {
      expectTypeOf(tx).not.toBeAny()
      expectTypeOf(tx).toEqualTypeOf<Parameters<Parameters<typeof db.transaction>[0]>[0]>()
      const row = await tx.query.account.findFirst({ where: eq(account.id, note.id) })
      expectTypeOf(row?.balance).toEqualTypeOf<number | null | undefined>()
      // @ts-expect-error the column is an integer
      await tx.insert(account).values({ id: note.id, balance: 'x' })
    })
    // @ts-expect-error not a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: db }))
  })

  test('takes the database and nothing else', async () => {
    const taken = (value: unknown) => () => fromDrizzle(value as typeof db)
    for (const value of [undefined, null, {}, account, new Pool()])
      expect(taken(value)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})
