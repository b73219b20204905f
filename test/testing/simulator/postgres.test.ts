import { randomUUID } from 'node:crypto'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import { Pool } from 'pg'
import postgresJs from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import type { PostgresTx } from '../../../src/database/postgres/index.ts'
import { fromDrizzle, postgres } from '../../../src/database/postgres/index.ts'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import type { App } from '../../../src/index.ts'
import { call, onefold, topic } from '../../../src/index.ts'
import type { ProofFailure, ProveOnPostgresOptions, SetupClient } from '../../../src/testing/index.ts'
import { ProofFailed, prove } from '../../../src/testing/index.ts'
import { keepRows, tablesIn } from '../../../src/testing/simulator/postgres-tables.ts'
import { temporaryPostgres } from '../../support/postgres.ts'

interface Order {
  readonly id: string
  readonly account: string
}
const orders = topic<Order>('orders', { id: ({ id }) => id, key: ({ account }) => account })
const booked = topic<Order>('booked', { id: ({ id }) => id, key: ({ account }) => account })
const workload = ['o1 a', 'o2 b', 'o1 a', 'o3 a'].map((order) => {
  const [id, account] = order.split(' ') as [string, string]
  return { topic: orders, data: { id, account } }
})

/** What it connects to is not there: whoever reaches it is not simulated. */
const pool = new Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' })

const setup = async (client: SetupClient): Promise<void> => {
  await client.query(`
    create table account (name text primary key, orders integer not null);
    create table entry (n bigint generated always as identity primary key, account text not null references account,
      order_id text not null, at timestamptz not null default now());
    insert into account values ('a', 0), ('b', 0)`)
}
const invariants: NonNullable<ProveOnPostgresOptions['invariants']> = {
  'every order is counted once': async ({ all }) => {
    const wrong = await all<{ name: string }>(
      'select name from account where orders <> (select count(*) from entry where account = name and order_id <> $1)',
      'none',
    )
    return wrong.length === 0 || `wrong: ${wrong.map(({ name }) => name).join(', ')}`
  },
}

type Query = Pick<PostgresTx, 'query'>

/** Books an order; `entries` is what the entry is written through. */
function application(entries: (tx: PostgresTx) => Query): App<never> {
  const app = onefold({ database: postgres(pool) })
  app.consume(orders, 'ledger', async (order, { tx, publish }) => {
    await entries(tx).query('insert into entry (account, order_id) values ($1, $2)', [order.account, order.id])
    await tx.query('update account set orders = orders + 1 where name = $1', [order.account])
    publish(booked, order)
  })
  return app as App<never>
}
const correct = (): App<never> => application((tx) => tx)
const withReceipts = (): App<never> => {
  const app = application((tx) => tx)
  app.consume(booked, { group: 'receipts', calls: { mail: call(({ id }: Order) => ({ id })) }, apply: () => undefined })
  return app
}
const pastTheTransaction = (): App<never> => application(() => pool as unknown as Query)

interface Prover {
  readonly options: ProveOnPostgresOptions
  /** Databases and connections of its own that are still there. */
  left(): Promise<unknown[]>
}

/** On the tests' server, as a role of its own that may create databases and nothing else. */
async function prover(): Promise<Prover> {
  const server = await temporaryPostgres()
  const role = `prover_${randomUUID().slice(0, 8)}`
  await server.pool.query(`create role ${role} login createdb`)
  const url = new URL(server.url)
  url.username = role
  const left = async (): Promise<unknown[]> => {
    const databases = await server.pool.query('select datname from pg_database where pg_get_userbyid(datdba) = $1', [role])
    const connections = await server.pool.query('select query from pg_stat_activity where usename = $1', [role])
    return [...databases.rows, ...connections.rows]
  }
  onTestFinished(async () => void (await server.pool.query(`drop role ${role}`)))
  return { options: { postgres: url.href, workload, setup, invariants, budgetMs: 60_000 }, left }
}

async function failureOf(app: () => App<never>, options: ProveOnPostgresOptions): Promise<ProofFailure> {
  const error = await prove(app, options).catch((thrown: unknown) => thrown)
  if (error instanceof ProofFailed) return error.failure
  throw error instanceof Error ? error : new Error('nothing was found')
}

test('a correct handler on PostgreSQL is not accused; the certificate says what it ran on, and nothing is left there', {
  timeout: 60_000,
}, async () => {
  const { options, left } = await prover()
  const certificate = await prove(withReceipts, { ...options, maxSchedules: 15, deviations: 0 })
  expect(certificate.schedules).toBe(15)
  expect(certificate.database).toMatch(/^PostgreSQL \d+/)
  expect(certificate.text).toContain(`on a real ${certificate.database}, in a database of its own`)
  expect(certificate.text).toContain(`${certificate.schedulesPerSecond} schedules a second`)
  expect(certificate.withoutFaults.attention).toBe(0)
  // The server's clock is not simulated, and a key that it counts is not looked at.
  expect(certificate.notCompared).toEqual(['entry.at'])
  expect(Object.keys(certificate.coverage)).toContain('transactions · two at a time')
  await expect.poll(left).toEqual([])
})

test('a handler that writes through the pool is caught; the story says so, the vector replays it, and a second search finds the same', {
  timeout: 60_000,
}, async () => {
  const { options, left } = await prover()
  const random = { ...options, deviations: 0, seed: 3 }
  const failure = await failureOf(pastTheTransaction, random)
  expect(failure.rule).toBe('every order is counted once')
  expect(failure.story.map(({ what }) => what)).toContain(
    'insert into entry (account, order_id) values ($1, $2)  -- not through tx: it commits by itself',
  )
  expect(failure.story.find(({ what }) => what.startsWith('insert into entry'))?.place).toMatch(/^postgres\.test\.ts:\d+$/)
  expect(await failureOf(pastTheTransaction, random)).toEqual(failure)
  const replayed = await failureOf(pastTheTransaction, { ...options, replay: failure.vector })
  expect(replayed).toEqual({ ...failure, schedules: 1, shrunkFrom: failure.faults.length, text: replayed.text })
  // What is right about the other one is right in this schedule, too.
  expect((await prove(correct, { ...options, replay: failure.vector })).schedules).toBe(1)
  await expect.poll(left).toEqual([])
})

test('transactions that are open together: a lost update is caught, and what locks or meets in a deadlock is not accused', {
  timeout: 60_000,
}, async () => {
  const { options } = await prover()
  /** Two groups write the same rows, each in its own order. */
  const groups = (apply: (tx: PostgresTx, rows: readonly [string, string]) => Promise<unknown>) => (): App<never> => {
    const app = onefold({ database: postgres(pool) })
    app.consume(orders, 'there', (_, { tx }) => apply(tx, ['a', 'b']))
    app.consume(orders, 'back', (_, { tx }) => apply(tx, ['b', 'a']))
    return app as App<never>
  }
  /** Two partitions, and two transactions at a time. */
  const runs: number[] = []
  const together = { ...options, invariants: {}, replay: '0:1,1:1', reset: () => void runs.push(0) }
  const failure = await failureOf(
    groups(async (tx) => {
      const { rows } = await tx.query<{ orders: number }>("select orders from account where name = 'a'")
      await tx.query("update account set orders = $1 where name = 'a'", [(rows[0]?.orders ?? 0) + 1])
    }),
    together,
  )
  expect(failure.rule).toBe('same end')
  expect(failure.faults).toEqual(['the world: transactions · two at a time', 'the world: partitions of a topic · two'])
  runs.length = 0
  const refusals = new Set<string>()
  const meeting = groups(async (tx, rows) => {
    runs[runs.length - 1] = (runs.at(-1) ?? 0) + 1
    for (const name of rows) {
      await tx.query('update account set orders = orders + 1 where name = $1', [name]).catch((error: unknown) => {
        refusals.add((error as Error).message)
        throw error
      })
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  })
  await prove(meeting, together)
  // Whoever closes the circle is undone, and runs again. The world says who, not the server's clock.
  expect(runs.at(-1)).toBeGreaterThan(runs[0] as number)
  expect([...refusals]).toEqual(['deadlock detected (simulated)'])
})

test('a handler that waits for its own lock on another connection: not a hang, but what is wrong', async () => {
  const { options } = await prover()
  const locked = (): App<never> => {
    const app = onefold({ database: postgres(pool) })
    app.consume(orders, {
      group: 'ledger',
      maxAttempts: 2,
      async apply({ account }, { tx }) {
        await tx.query('update account set orders = orders + 1 where name = $1', [account])
        await pool.query('update account set orders = orders + 1 where name = $1', [account])
      },
    })
    return app as App<never>
  }
  const failure = await failureOf(locked, { ...options, invariants: {} })
  expect(failure.rule).toBe('something is applied')
  expect(failure.what).toContain('waits for a lock of the transaction that its own handler is in')
})

test('what setup leaves is put back: rows that refer to each other, triggers, sequences, and columns that are generated', async () => {
  for (const role of ['superuser', 'nosuperuser']) {
    const { pool: client } = await temporaryPostgres()
    await client.query(`
      create table parent (id integer generated always as identity primary key, child integer, twice integer generated always as (id * 2) stored);
      create table child (id serial primary key, parent integer references parent);
      alter table parent add foreign key (child) references child;
      insert into parent default values; insert into child (parent) values (1); update parent set child = 1;
      create function also() returns trigger language plpgsql as $$ begin insert into child default values; return null; end $$`)
    // Without triggers where the role cannot switch them off.
    if (role === 'superuser')
      await client.query('create trigger also after insert on parent for each row execute function also()')
    const look = async (): Promise<unknown> =>
      (await client.query('select (select json_agg(p) from parent p) as parents, (select json_agg(c) from child c) as children'))
        .rows
    const before = await look()
    const putBack = await keepRows(client as never, await tablesIn(client as never), role === 'superuser')
    await client.query('insert into parent default values; insert into parent default values; delete from child where id <> 1')
    expect(await look()).not.toEqual(before)
    await client.query(putBack)
    expect(await look(), role).toEqual(before)
    const { rows } = await client.query('insert into parent (child) values (null) returning id, twice')
    expect(rows, role).toEqual([{ id: 2, twice: 4 }])
  }
})

const entry = pgTable('entry', { account: text(), order_id: text() })

test("Drizzle over the pool: its transactions are the simulated process's, and what is written past them is caught", {
  timeout: 60_000,
}, async () => {
  const { options } = await prover()
  const made = (through: 'tx' | 'db') => (): App<never> => {
    const db = drizzle({ client: pool })
    const app = onefold({ database: postgres(pool, { transactions: fromDrizzle(db) }) })
    app.consume(orders, 'ledger', async ({ id, account }, { tx }) => {
      await (through === 'tx' ? tx : db).insert(entry).values({ account, order_id: id })
    })
    return app as App<never>
  }
  const drizzled = { ...options, invariants: {}, maxSchedules: 8, deviations: 0 }
  expect((await prove(made('tx'), drizzled)).schedules).toBe(8)
  const failure = await failureOf(made('db'), { ...drizzled, maxSchedules: 40 })
  expect(failure.rule).toBe('same end')
  expect(failure.story.some(({ what }) => what.includes('not through tx'))).toBe(true)
})

test('an app on PostgreSQL without a server to prove it on: the error names the option', async () => {
  const missing = prove(correct, { workload })
  await expect(missing).rejects.toMatchObject({ code: 'OPTION_INVALID', details: { option: 'postgres' } })
  await expect(missing).rejects.toThrow('--postgres')
  await expect(prove(correct, { workload, postgres: 'shop.db' })).rejects.toMatchObject({ details: { option: 'postgres' } })
  const nobody = prove(correct, { workload, postgres: 'postgres://somebody:secret@127.0.0.1:1/postgres' })
  await expect(nobody).rejects.toMatchObject({ code: 'NOT_POSSIBLE', details: { option: 'postgres' } })
  await expect(nobody).rejects.not.toThrow('secret')
})

test('an app on postgres.js: said to be impossible before anything is done', async () => {
  const app = onefold({ database: postgres(postgresJs('postgres://nobody@127.0.0.1:1/nothing')) })
  app.consume(orders, 'nothing', () => undefined)
  const refused = prove(app as App<never>, { workload, postgres: 'postgres://127.0.0.1:1/postgres' })
  await expect(refused).rejects.toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringContaining('postgres.js') })
})

test('an app on SQLite with a PostgreSQL server: the error names the option', async () => {
  const app = onefold({ database: sqlite('nowhere.db') })
  app.consume(orders, 'nothing', () => undefined)
  const refused = prove(app as App<never>, { workload, postgres: 'postgres://127.0.0.1:1/postgres' })
  await expect(refused).rejects.toMatchObject({ code: 'OPTION_INVALID', details: { option: 'postgres' } })
})

test('a handler that connects to a database itself escapes the simulation; setup that fails is told; nothing is left', async () => {
  const { options, left } = await prover()
  const connects = (): App<never> => {
    const app = onefold({ database: postgres(pool) })
    app.consume(orders, 'ledger', async () => {
      await new Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/nothing' }).query('select 1')
    })
    return app as App<never>
  }
  await expect(prove(connects, options)).rejects.toMatchObject({ name: 'SimulationEscape' })
  const broken = { ...options, setup: (client: SetupClient) => client.query('create table oops') }
  await expect(prove(correct, broken)).rejects.toThrow('syntax error')
  await expect.poll(left).toEqual([])
})
