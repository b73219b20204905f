import type { DatabaseSync } from 'node:sqlite'
import { call, onefold, topic } from 'onefold'
import { sqlite } from 'onefold/sqlite'
import type { Committed } from 'onefold/testing'

interface Order {
  readonly id: string
  readonly email: string
}
const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.email })

/** Asks the mail server, with a token by which it knows a request that it has had before. */
async function sendMail(to: string, text: string, token: string): Promise<{ readonly id: string }> {
  const body = JSON.stringify({ to, text })
  const answer = await fetch('https://mail.example.org/send', { method: 'POST', headers: { 'idempotency-key': token }, body })
  return (await answer.json()) as { id: string }
}

export default function makeApp() {
  const app = onefold({ database: sqlite('shop.db') })
  app.consume(orders, {
    group: 'receipts',
    calls: {
      mail: call((order: Order, { token }) => sendMail(order.email, `Thank you for order ${order.id}.`, token)),
    },
    apply(order, { tx, calls }) {
      tx.run('insert into receipt (order_id, email, mail) values (?, ?, ?)', order.id, order.email, calls.mail.id)
    },
  })
  return app
}

export const workload = [
  { topic: orders, data: { id: 'o1', email: 'ann@example.org' } },
  { topic: orders, data: { id: 'o2', email: 'bob@example.org' } },
  { topic: orders, data: { id: 'o1', email: 'ann@example.org' } },
]
export const setup = (database: DatabaseSync) =>
  database.exec('create table receipt (order_id text primary key, email text not null, mail text not null) strict')

export const invariants = {
  'no two receipts speak of the same mail': ({ get }: Committed) =>
    get('select mail from receipt group by mail having count(*) > 1') === undefined,
}
