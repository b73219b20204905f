/** What the worker processes publish and apply, in tables of their own: a ledger, its totals, and what was heard of it. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import type { Database } from '../../src/database/database.ts'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, AppEvent, Broker, Runtime } from '../../src/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { unreliableBroker } from '../../src/testing/index.ts'

/** in-database: one file is database and broker. test-broker: another file, behind a broker that repeats and reorders. */
export type Topology = 'in-database' | 'test-broker'

export interface Order {
  readonly id: string
  readonly key: string
  /** 1, 2, 3 … within its key. */
  readonly number: number
}

export const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.key, partitions: 2 })
/** No id of its own: an order applied twice would send two different summaries, and both would be heard. */
export const summaries = topic<Order>('summaries', { key: (summary) => summary.key })

export const appFile = (folder: string): string => join(folder, 'app.db')
export const brokerFile = (folder: string): string => join(folder, 'broker.db')
export const receiptsFile = (folder: string): string => join(folder, 'receipts.log')

/** Keys take turns, so that neighbours in the log are of different keys. */
export function someOrders(keys: number, perKey: number): Order[] {
  return Array.from({ length: keys * perKey }, (_, index) => {
    const key = `k${index % keys}`
    const number = Math.floor(index / keys) + 1
    return { id: `${key}-${number}`, key, number }
  })
}

/** Nothing here stops a second row: only Onefold does. */
export const tables: readonly string[] = [
  'create table if not exists applied (row integer primary key, id text not null, key text not null, number integer not null, attempt integer)',
  'create table if not exists total (key text primary key, orders integer not null, sum integer not null)',
  'create table if not exists heard (row integer primary key, id text not null, key text not null, number integer not null)',
  'create table if not exists placed (id text primary key)',
]

export function createTables(folder: string): void {
  const database = new DatabaseSync(appFile(folder))
  database.exec(['pragma journal_mode = wal', ...tables].join(';'))
  database.close()
}

export interface Setting {
  readonly folder: string
  readonly topology: Topology
  readonly seed: number
  readonly leaseMs: number
  /** Default 'FULL'. 'NORMAL' loses what was committed last when the power fails. */
  readonly synchronous?: 'FULL' | 'NORMAL'
}

export function openApp(setting: Setting, runtime: Runtime, onEvent: (event: AppEvent) => void): App<SqliteTx> {
  const { folder, topology, leaseMs, synchronous = 'FULL' } = setting
  const broker =
    topology === 'in-database' ? undefined : inDatabaseBroker(sqlite(brokerFile(folder), { synchronous }), { leaseMs })
  return appOn(sqlite(appFile(folder), { synchronous }), broker, setting, runtime, onEvent)
}

/** On any database; `broker` where the topology has one, here made to repeat and reorder. */
export function appOn<Tx>(
  database: Database<Tx>,
  broker: Broker | undefined,
  { seed, leaseMs }: Pick<Setting, 'seed' | 'leaseMs'>,
  runtime: Runtime,
  onEvent: (event: AppEvent) => void,
): App<Tx> {
  const misbehaviour = { seed, duplicate: 0.3, reorder: 0.3, redeliver: 0.2, forget: 0.2 }
  return onefold({
    database,
    ...(broker === undefined ? {} : { broker: unreliableBroker(broker, misbehaviour) }),
    source: 'torture',
    leaseMs,
    runtime,
    onEvent,
  })
}

export function applyOrder(tx: SqliteTx, order: Order, attempt: number): void {
  tx.run('insert into applied (id, key, number, attempt) values (?, ?, ?, ?)', order.id, order.key, order.number, attempt)
  tx.run(
    `insert into total (key, orders, sum) values (?1, 1, ?2)
     on conflict do update set orders = orders + 1, sum = sum + ?2`,
    order.key,
    order.number,
  )
}

export function hearSummary(tx: SqliteTx, summary: Order): void {
  tx.run('insert into heard (id, key, number) values (?, ?, ?)', summary.id, summary.key, summary.number)
}

/** Half of the keys are published directly, the others with a row of the publisher's own in one transaction. */
export const isPlaced = (order: Order): boolean => Number(order.key.slice(1)) % 2 === 1

/** Directly, or with the publisher's own row in one transaction. Told 'duplicate' where it was there already. */
export async function publishOrder(app: App<SqliteTx>, order: Order): Promise<'accepted' | 'duplicate'> {
  if (!isPlaced(order)) return (await app.publish(orders, order)).status as 'accepted' | 'duplicate'
  const placed = await app.transaction(({ tx, publish }) => {
    const { changes } = tx.run('insert into placed (id) values (?) on conflict do nothing', order.id)
    if (changes === 1) publish(orders, order)
    return changes
  })
  return placed === 1 ? 'accepted' : 'duplicate'
}
