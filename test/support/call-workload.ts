import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { Broker } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import { unreliableBroker } from '../../src/testing/index.ts'
import type { Order } from './call-audit.ts'

/**
 * probe-and-void: the probe asks for the charge and makes sure that it cannot come any more · probe-only: it can only look.
 */
export type Rule = 'repeat' | 'ask-person' | 'probe-and-void' | 'probe-only'

export const callGroup = 'billing'

export const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.key, partitions: 2 })

/** Nothing here stops a second row: only Onefold does. */
export const paidTable =
  'create table paid (row integer primary key, id text not null, key text not null, number integer not null, charge text, attempt integer)'

/** Keys take turns, so that neighbours in the log are of different keys. */
export function someOrders(keys: number, perKey: number, prefix = 'k'): Order[] {
  return Array.from({ length: keys * perKey }, (_, index) => {
    const key = `${prefix}${index % keys}`
    const number = Math.floor(index / keys) + 1
    return { id: `${key}-${number}`, key, number }
  })
}

/** A broker on a file of its own that delivers again, twice, and out of order. */
export function misbehaving(file: string, { seed, leaseMs }: { readonly seed: number; readonly leaseMs: number }): Broker {
  const misbehaviour = { seed, duplicate: 0.3, reorder: 0.3, redeliver: 0.2, forget: 0.2 }
  return unreliableBroker(inDatabaseBroker(sqlite(file), { leaseMs }), misbehaviour)
}
