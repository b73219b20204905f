/** A SQLite file with everything in it that Onefold keeps, to be moved; and the same program for both ends of the move. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Pool } from 'pg'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import type { Database } from '../../src/database/database.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { moveTargetOn } from '../../src/database/postgres/move-target.ts'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { SqliteMoveSource } from '../../src/database/sqlite/move-source.ts'
import type { App, AppEvent, Runtime } from '../../src/index.ts'
import { call, onefold, RetryLater, topic } from '../../src/index.ts'
import type { MoveEnds } from '../../src/move/move.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { stopAfterwards, temporaryFolder } from './temporary.ts'
import { until } from './until.ts'

export interface Order {
  readonly id: string
  readonly key: string
  readonly number: number
}

export const orders = topic<Order>('orders', { partitions: 3, id: (order) => order.id, key: (order) => order.key })
export const ticks = topic<{ value: number }>('ticks')
export const mails = topic<{ id: string }>('mails', { partitions: 1, id: (mail) => mail.id })
export const reports = topic<{ for: string }>('reports', { partitions: 1 })

const dayMs = 24 * 3_600_000

export const effectTable = 'create table effect (grp text, id text, key text, number integer)'

/** `count` orders with numbers from `from` on, in turn for each of five keys. */
export function someOrders(from: number, count: number): Order[] {
  return Array.from({ length: count * 5 }, (_, index) => {
    const key = `k${index % 5}`
    const number = from + Math.floor(index / 5)
    return { id: `${key}-${number}`, key, number }
  })
}

/** The other side of calls: which tokens it has heard, and whether it answers. */
export class Bank {
  readonly heard: { readonly id: string; readonly token: string }[] = []
  answers = true
  readonly #waiting = new Set<(answer: string) => void>()

  charge(order: Order, token: string): string | Promise<string> {
    this.heard.push({ id: order.id, token })
    return this.answers ? 'paid' : new Promise((resolve) => this.#waiting.add(resolve))
  }

  answerAll(): void {
    for (const resolve of this.#waiting) resolve('paid')
  }
}

type Write = (tx: never, sql: string, ...params: (string | number)[]) => unknown

export const writeSqlite = ((tx: SqliteTx, sql: string, ...params: (string | number)[]) => tx.run(sql, ...params)) as Write
export const writePostgres = ((tx: { query(sql: string, params: unknown[]): unknown }, sql: string, ...params: unknown[]) => {
  let number = 0
  return tx.query(
    sql.replace(/\?/g, () => `$${++number}`),
    params,
  )
}) as Write

/** `fails`: poison orders are refused and late ones put off. */
export function program(
  database: Database<never>,
  { write, bank, fails, onEvent }: { write: Write; bank: Bank; fails: boolean; onEvent?: (event: AppEvent) => void },
): App<never> {
  const app = stopAfterwards(onefold({ database, leaseMs: 1_000, ...(onEvent === undefined ? {} : { onEvent }) })) as App<never>
  const effect = (group: string, { id, key, number }: Order, tx: never): unknown =>
    write(tx, 'insert into effect (grp, id, key, number) values (?, ?, ?, ?)', group, id, key, number)
  app.consume(orders, {
    group: 'ledger',
    maxAttempts: 3,
    inlineAttempts: 1,
    backoffMs: 20,
    apply: (order, { tx }) => {
      if (fails && order.id === 'k0-2') throw new Error('nul\u0000in what it says')
      if (fails && order.id === 'k1-2') throw new RetryLater({ afterMs: dayMs })
      return effect('ledger', order, tx)
    },
  })
  app.consume(orders, 'slow', (order, { tx }) => effect('slow', order, tx))
  app.consume(orders, {
    group: 'bank',
    calls: { charge: call((order, { token }) => bank.charge(order as Order, token), { when: ({ number }) => number % 2 === 0 }) },
    apply: (order, { tx }) => effect('bank', order, tx),
  })
  app.consume(ticks, 'count', ({ value }, { tx, message }) =>
    effect('count', { id: String(message.sequence), key: 'ticks', number: value }, tx),
  )
  app.consume(reports, 'print', ({ for: name }, { tx }) => effect('print', { id: name, key: 'reports', number: 0 }, tx))
  app.schedule(reports, { name: 'yearly', cron: '@yearly', data: { for: 'the year' } })
  return app
}

export interface MoveScene {
  readonly file: string
  readonly outside: string
  readonly bank: Bank
  /** Every order published so far. */
  readonly published: readonly Order[]
  /** The app on the source: still running. */
  readonly app: App<never>
  readonly events: AppEvent[]
  /** A look at the source that does not go through Onefold. */
  readonly reader: DatabaseSync
}

export async function moveScene(): Promise<MoveScene> {
  const folder = temporaryFolder()
  const file = join(folder, 'app.db')
  const outside = join(folder, 'outside.db')
  const reader = new DatabaseSync(file, { timeout: 5_000 })
  reader.exec(`pragma journal_mode = wal; ${effectTable}`)
  const bank = new Bank()
  const events: AppEvent[] = []
  const source = (): App<never> =>
    program(sqlite(file) as unknown as Database<never>, {
      write: writeSqlite,
      bank,
      fails: true,
      onEvent: (event) => events.push(event),
    })
  const first = someOrders(1, 3)
  const second = someOrders(4, 3)
  const count = (sql: string): number => Number((reader.prepare(sql).get() as { n: number }).n)

  const all = source()
  await all.start()
  await all.publishMany(
    orders,
    first.map((data) => ({ data })),
  )
  for (const value of [1, 2, 10, 4]) await all.publish(ticks, { value }, { sequence: BigInt(value) })
  await until(() => count("select count(*) as n from effect where grp = 'slow'") === first.length, 'the slow group is through')
  await until(() => count("select count(*) as n from onefold_attention where state = 'open'") === 1, 'one is with a person')
  const [item] = await all.attention.list()
  await all.attention.edit(
    item?.id ?? '',
    { id: 'k0-2', key: 'k0', number: 2, note: 'edited' },
    { by: 'Ada', reason: 'once more' },
  )
  await until(() => count("select count(*) as n from onefold_attention where state = 'open'") === 1, 'it is back with a person')
  await all.publish(orders, { id: 'erased', key: 'gone', number: 1 })
  await until(() => count("select count(*) as n from effect where id = 'erased'") === 3, 'what is to be erased is applied')
  await all.erase('orders', { key: 'gone', by: 'Ada', reason: 'asked for' })
  await all.stop()

  // Windows of several generations, of which one is forgotten, retired messages, and a start mark: it takes long, or a crash, to get them by themselves.
  reader.exec(`
    update onefold_generation set sealed_ms = opened_ms + 1, rows = 15 where window = (select window from onefold_window where topic = 'orders' and grp = '');
    insert into onefold_generation (window, opened_ms) select window, 1 from onefold_window where topic = 'orders' and grp = '';
    insert into onefold_generation (window, opened_ms, sealed_ms, dropped) select window, 1, 2, 1 from onefold_window where topic = 'orders' and grp = '';
    update onefold_window set forgotten_ms = 1000 where topic = 'orders' and grp = '';
    insert into onefold_meta (name, value) values ('window_version', 1) on conflict do update set value = value + 1;
    insert into onefold_meta (name, value) values ('running_ms', 123456) on conflict do update set value = excluded.value;
    update onefold_partition set tail = 2 where topic = (select topic from onefold_topic where name = 'orders');
    delete from onefold_log where position & 1099511627775 <= 2 and position >> 40 in (
      select partition from onefold_partition where topic = (select topic from onefold_topic where name = 'orders'));
    insert into onefold_start_mark values (1, '0', 'orders/k4-99', 2, 1);`)

  const app = source()
  await app.start({ groups: ['ledger', 'bank', 'count', 'print'] })
  bank.answers = false
  await app.publishMany(
    orders,
    second.map((data) => ({ data })),
  )
  await app.publishMany(
    orders,
    first.map((data) => ({ data })),
  )
  await app.publish(reports, { for: 'tomorrow' }, { id: 'tomorrow', deliverAt: new Date(Date.now() + dayMs) })
  const sender = stopAfterwards(onefold({ database: sqlite(file), broker: inDatabaseBroker(sqlite(outside)) }))
  await sender.transaction(({ publish }) => {
    publish(mails, { id: 'unsent-1' })
    publish(mails, { id: 'unsent-2' })
  })
  await sender.stop()
  await until(
    () =>
      count("select count(*) as n from effect where grp = 'ledger'") >= 21 &&
      count("select count(*) as n from onefold_call where state = 'intent'") > 0,
    'all that can be applied is, and calls are under way',
  )
  // Revisions were given numbers, and are gone.
  reader.exec("update sqlite_sequence set seq = 1000 where name = 'onefold_revision'")
  return { file, outside, bank, published: [...first, ...second], app, events, reader }
}

export async function endsOf(
  file: string,
  pool: Pool,
  { schema = 'onefold', runtime = nodeRuntime() }: { schema?: string; runtime?: Runtime } = {},
): Promise<MoveEnds & { close(): void }> {
  const source = await SqliteMoveSource.open(file, runtime)
  return { source, target: moveTargetOn(pool as never, { schema, runtime }), runtime, close: () => source.close() }
}

/** As the user does: after the seal, with a tool of their own. */
export async function copyEffects(reader: DatabaseSync, pool: Pool): Promise<void> {
  await pool.query(effectTable)
  await pool.query('alter table effect add column row bigint generated always as identity')
  for (const row of reader.prepare('select grp, id, key, number from effect order by rowid').all())
    await pool.query('insert into effect (grp, id, key, number) values ($1, $2, $3, $4)', Object.values(row))
}

export const onPostgres = (pool: Pool): Database<never> => postgres(pool) as unknown as Database<never>
