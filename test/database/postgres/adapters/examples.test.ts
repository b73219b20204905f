/** The examples of docs/postgresql.md, as they stand there. */
import { readFileSync } from 'node:fs'
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql'
import { PrismaPg } from '@prisma/adapter-pg'
import { eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import postgresJs from 'postgres'
import { DataSource, EntitySchema } from 'typeorm'
import { expect, onTestFinished, test } from 'vitest'
import {
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroOrm,
  fromPrisma,
  fromTypeOrm,
  postgres,
} from '../../../../src/database/postgres/index.ts'
import type { App } from '../../../../src/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { temporaryPostgres } from '../../../support/postgres.ts'
import { PrismaClient } from '../../../support/prisma/generated/client.ts'
import { stopAfterwards } from '../../../support/temporary.ts'

interface Payment {
  readonly id: string
  readonly account: string
  readonly amount: number
}

const payments = topic<Payment>('payments', { id: (payment) => payment.id, key: (payment) => payment.account })

const account = pgTable('account', { id: text().primaryKey(), balance: integer().notNull() })
const Account = new EntitySchema<{ id: string; balance: number }>({
  name: 'account',
  columns: { id: { type: 'text', primary: true }, balance: { type: 'integer' } },
})
interface Tables {
  account: { id: string; balance: number }
}

/** A database with the user's table and Onefold's, as after `onefold migrate up`. */
async function scene() {
  const database = await temporaryPostgres()
  await database.pool.query('create table account (id text primary key, balance integer not null)')
  const migrating = onefold({ database: postgres(database.pool, { migrations: 'apply' }) })
  await migrating.publish(payments, { id: 'first', account: 'acc_0', amount: 7 })
  await migrating.stop()
  await database.pool.query("insert into account values ('acc_0', 0)")
  const balances = async (): Promise<unknown[]> =>
    (await database.pool.query({ text: 'select id, balance from account order by id', rowMode: 'array' })).rows
  const applied = async <Tx>(app: App<Tx>): Promise<void> => {
    stopAfterwards(app)
    await app.start()
    await app.idle()
    await app.stop()
  }
  return { ...database, balances, applied }
}

test('pg', async () => {
  const { pool, balances, applied } = await scene()
  const app = onefold({ database: postgres(pool) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    await tx.query('update account set balance = balance + $1 where id = $2', [payment.amount, payment.account])
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('postgres.js', async () => {
  const { url, balances, applied } = await scene()
  const sql = postgresJs(url, { max: 4, onnotice: () => undefined })
  onTestFinished(() => sql.end())
  const app = onefold({ database: postgres(sql) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    await tx`update account set balance = balance + ${payment.amount} where id = ${payment.account}`
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('Drizzle', async () => {
  const { pool, balances, applied } = await scene()
  const db = drizzle({ client: pool })
  const app = onefold({ database: postgres(pool, { transactions: fromDrizzle(db) }) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    const balance = sql`${account.balance} + ${payment.amount}`
    await tx.update(account).set({ balance }).where(eq(account.id, payment.account))
  })
  // in a transaction of your own
  await db.transaction(async (tx) => {
    await tx.insert(account).values({ id: 'acc_1', balance: 0 })
    await app.publish(payments, { id: 'pay_1', account: 'acc_1', amount: 5 }, { tx })
  })
  await applied(app)
  expect(await balances()).toEqual([
    ['acc_0', 7],
    ['acc_1', 5],
  ])
})

test('Kysely', async () => {
  const { pool, balances, applied } = await scene()
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  const app = onefold({ database: postgres(pool, { transactions: fromKysely(db) }) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    const update = tx.updateTable('account').where('id', '=', payment.account)
    await update.set((account) => ({ balance: account('balance', '+', payment.amount) })).execute()
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('Knex', async () => {
  const { pool, url, balances, applied } = await scene()
  const db = knex({ client: 'pg', connection: url })
  onTestFinished(() => db.destroy())
  const app = onefold({ database: postgres(pool, { transactions: fromKnex(db) }) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    await tx('account').where({ id: payment.account }).increment('balance', payment.amount)
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('TypeORM', async () => {
  const { pool, url, balances, applied } = await scene()
  const dataSource = await new DataSource({ type: 'postgres', url, entities: [Account] }).initialize()
  onTestFinished(() => dataSource.destroy())
  const app = onefold({ database: postgres(pool, { transactions: fromTypeOrm(dataSource) }) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    await tx.increment(Account, { id: payment.account }, 'balance', payment.amount)
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('MikroORM', async () => {
  const { pool, url, balances, applied } = await scene()
  const Account = defineEntity({ name: 'account', properties: { id: p.text().primary(), balance: p.integer() } })
  const orm = await MikroORM.init({ clientUrl: url, entities: [Account] })
  onTestFinished(() => orm.close())
  const app = onefold({ database: postgres(pool, { transactions: fromMikroOrm(orm) }) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    const account = await tx.findOneOrFail(Account, payment.account)
    account.balance += payment.amount
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('Prisma', async () => {
  const { pool, url, balances, applied } = await scene()
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
  onTestFinished(() => prisma.$disconnect())
  const app = onefold({ database: postgres(pool, { transactions: fromPrisma(prisma) }) })
  app.consume(payments, 'ledger', async (payment, { tx }) => {
    await tx.account.update({ where: { id: payment.account }, data: { balance: { increment: payment.amount } } })
  })
  await applied(app)
  expect(await balances()).toEqual([['acc_0', 7]])
})

test('the page shows what runs here, line by line', () => {
  const lines = (code: string): string[] =>
    code
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
  const page = readFileSync(new URL('../../../../docs/postgresql.md', import.meta.url), 'utf8')
  const clients = page.slice(page.indexOf('## The client you write with'))
  const examples = [...clients.matchAll(/```ts\n\/\/ (.+)\n([\s\S]*?)```/g)]
  expect(examples.map(([, name]) => name)).toEqual([
    ...['pg', 'postgres.js', 'Drizzle', 'Kysely', 'Knex', 'TypeORM', 'MikroORM', 'Prisma', 'in a transaction of your own'],
  ])
  const source = readFileSync(new URL(import.meta.url), 'utf8')
  for (const [, name, code] of examples) {
    const ofTest = name === 'in a transaction of your own' ? 'Drizzle' : name
    const body = source.slice(source.indexOf(`test('${ofTest}'`)).split('\n})\n')[0] ?? ''
    const run = lines(body)
    let at = 0
    for (const line of lines(code ?? '')) {
      const found = run.indexOf(line, at)
      expect(found, `${name}: ${line}`).toBeGreaterThanOrEqual(at)
      at = found + 1
    }
  }
})
