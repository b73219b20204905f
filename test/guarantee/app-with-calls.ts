/** An app whose one consumer declares a call of every rule. Opens nothing; nobody starts it. */
import type { SqliteOptions, SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { AnyCall, ConsumeApply } from '../../src/index.ts'
import { call, onefold, topic } from '../../src/index.ts'

export interface Order {
  readonly id: string
  readonly account: string
  readonly amount: number
}

const made = async (order: Order): Promise<{ id: string }> => ({ id: order.id })

export const callsOfEveryRule = {
  charge: call(made),
  mail: call(made, { whenUnknown: 'ask-person', when: (order: Order) => order.amount > 100 }),
  wire: call(made, { whenUnknown: async () => 'did-not-happen' as const, whenFailed: 'apply', timeoutMs: 5_000 }),
}

export function appWithCalls(
  options: {
    readonly database?: SqliteOptions
    readonly topic?: object
    readonly consume?: Partial<ConsumeApply<SqliteTx, Order, Readonly<Record<string, AnyCall>>>>
    readonly calls?: Readonly<Record<string, AnyCall>>
  } = {},
) {
  const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.account, ...options.topic })
  const app = onefold({ source: 'shop', database: sqlite('never-opened.db', options.database) })
  app.consume(orders, {
    group: 'payout',
    calls: options.calls ?? callsOfEveryRule,
    apply: () => undefined,
    ...options.consume,
  } as ConsumeApply<SqliteTx, Order, Readonly<Record<string, AnyCall>>>)
  return app
}

export default appWithCalls()
