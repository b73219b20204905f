import { eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { Kysely, SqliteDialect } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { rejection } from '../support/until.ts'

interface Payment {
  readonly id: string
  readonly account: string
  readonly amount: number
}

const payments = topic<Payment>('payments', { partitions: 1, id: (payment) => payment.id, key: (payment) => payment.account })
const tables = `create table account (id text primary key, balance integer not null);
  create table effect (id text, value integer); insert into account values ('a', 0), ('b', 10)`
const balances = (file: TemporaryFile) => file.rows('select * from account order by id')

describe('Drizzle over tx', () => {
  const account = sqliteTable('account', { id: text().primaryKey(), balance: integer().notNull() })
  const over = (tx: SqliteTx) => drizzle({ client: tx as never })

  test('reads and writes in the transaction of the message, is rolled back with it, and is revoked after it', async () => {
    const file = new TemporaryFile(tables)
    const app = file.app()
    let kept: ReturnType<typeof over> | undefined
    const returned: unknown[] = []
    app.consume(payments, {
      group: 'g',
      maxAttempts: 1,
      apply: (payment, { tx }) => {
        const db = over(tx)
        kept = db
        db.insert(account).values({ id: payment.account, balance: 0 }).onConflictDoNothing().run()
        const [row] = db
          .update(account)
          .set({ balance: sql`${account.balance} + ${payment.amount}` })
          .where(eq(account.id, payment.account))
          .returning()
          .all()
        returned.push(row)
        const [read] = db.select().from(account).where(eq(account.id, payment.account)).all()
        expect(read).toEqual(row)
        if (payment.amount < 0) throw new Error('refused')
      },
    })
    await app.publishMany(payments, [
      { data: { id: '1', account: 'a', amount: 5 } },
      { data: { id: '2', account: 'b', amount: -5 } },
      { data: { id: '3', account: 'c', amount: 7 } },
    ])
    await app.start()
    await app.idle()
    expect(balances(file)).toEqual([
      { id: 'a', balance: 5 },
      { id: 'b', balance: 10 },
      { id: 'c', balance: 7 },
    ])
    expect(returned).toEqual([
      { id: 'a', balance: 5 },
      { id: 'b', balance: 5 },
      { id: 'c', balance: 7 },
    ])
    const late = await rejection((async () => kept?.insert(account).values({ id: 'late', balance: 1 }).run())())
    expect(`${late.message} ${(late.cause as Error | undefined)?.message}`).toMatch(/tx was used after/)
    expect(balances(file)).toHaveLength(3)
  })

  test('its own savepoints are refused: they would be a stack under ours', async () => {
    const file = new TemporaryFile(tables)
    const app = file.app()
    const error = await rejection(app.transaction(({ tx }) => void over(tx).run(sql`savepoint s`)))
    expect(`${error.message} ${(error.cause as Error | undefined)?.message}`).toMatch(/must not begin, end or nest/)
  })
})

describe('Kysely over tx', () => {
  interface Tables {
    account: { id: string; balance: number }
  }
  const over = (tx: SqliteTx) => new Kysely<Tables>({ dialect: new SqliteDialect({ database: tx as never }) })

  test('reads and writes in the transaction of the message, is rolled back with it, and is revoked after it', async () => {
    const file = new TemporaryFile(tables)
    const app = file.app()
    let kept: ReturnType<typeof over> | undefined
    app.consume(payments, {
      group: 'g',
      maxAttempts: 1,
      apply: async (payment, { tx }) => {
        const db = over(tx)
        kept = db
        await db
          .insertInto('account')
          .values({ id: payment.account, balance: payment.amount })
          .onConflict((conflict) =>
            conflict.column('id').doUpdateSet((eb) => ({ balance: eb('account.balance', '+', payment.amount) })),
          )
          .execute()
        const { balance } = await db
          .selectFrom('account')
          .select('balance')
          .where('id', '=', payment.account)
          .executeTakeFirstOrThrow()
        tx.run('insert into effect values (?, ?)', payment.id, balance)
        if (payment.amount < 0) throw new Error('refused')
      },
    })
    await app.publishMany(payments, [
      { data: { id: '1', account: 'a', amount: 5 } },
      { data: { id: '2', account: 'b', amount: -5 } },
      { data: { id: '3', account: 'c', amount: 7 } },
    ])
    await app.start()
    await app.idle()
    expect(balances(file)).toEqual([
      { id: 'a', balance: 5 },
      { id: 'b', balance: 10 },
      { id: 'c', balance: 7 },
    ])
    expect(file.rows('select * from effect')).toEqual([
      { id: '1', value: 5 },
      { id: '3', value: 7 },
    ])
    expect((await rejection(kept!.insertInto('account').values({ id: 'late', balance: 1 }).execute())).message).toMatch(
      /tx was used after/,
    )
    expect(balances(file)).toHaveLength(3)
  })

  test('streams rows, and a stream left half read does not stand in the way of the commit', async () => {
    const file = new TemporaryFile(tables)
    const app = file.app()
    const seen: string[] = []
    await app.transaction(async ({ tx }) => {
      for await (const row of over(tx).selectFrom('account').selectAll().orderBy('id').stream()) {
        seen.push(row.id)
        if (seen.length === 1) break
      }
      tx.run("insert into effect values ('x', 1)")
    })
    expect(seen).toEqual(['a'])
    expect(file.effects()).toEqual(['x'])
  })

  test('its own transactions are refused', async () => {
    const file = new TemporaryFile(tables)
    const app = file.app()
    const error = await rejection(
      app.transaction(({ tx }) =>
        over(tx)
          .transaction()
          .execute((trx) => trx.insertInto('account').values({ id: 'nested', balance: 1 }).execute()),
      ),
    )
    expect(error).toMatchObject({ code: 'TX_CONTROL' })
    expect(balances(file)).toHaveLength(2)
  })
})

test('parameters: booleans are stored as 0 and 1, undefined as null, bytes and bigints as they are', async () => {
  const file = new TemporaryFile('create table v (a, b, c, d, e)')
  const app = file.app()
  const read = await app.transaction(({ tx }) => {
    tx.run('insert into v values (?, ?, ?, ?, ?)', true, false, undefined, new Uint8Array([1, 2]), 2n ** 40n)
    return tx.get('select a, b, c, d, e, typeof(c) as t from v')
  })
  expect({ ...(read as object) }).toMatchObject({ a: 1, b: 0, c: null, d: new Uint8Array([1, 2]), e: 2 ** 40, t: 'null' })
})
