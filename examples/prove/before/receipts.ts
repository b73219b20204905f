import type { DatabaseSync } from 'node:sqlite'
import { onefold, topic } from 'onefold'
import { sqlite } from 'onefold/sqlite'

interface Order {
  readonly id: string
  readonly email: string
}
const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.email })

/** Stands for the mail server. */
const mails: string[] = []
async function sendMail(to: string, text: string): Promise<void> {
  mails.push(`${to}: ${text}`)
}

export default function makeApp() {
  const app = onefold({ database: sqlite('shop.db') })
  app.consume(orders, 'receipts', async (order, { tx }) => {
    tx.run('insert into receipt (order_id, email) values (?, ?)', order.id, order.email)
    await sendMail(order.email, `Thank you for order ${order.id}.`)
  })
  return app
}

export const workload = [
  { topic: orders, data: { id: 'o1', email: 'ann@example.org' } },
  { topic: orders, data: { id: 'o2', email: 'bob@example.org' } },
  { topic: orders, data: { id: 'o1', email: 'ann@example.org' } },
]
export const setup = (database: DatabaseSync) =>
  database.exec('create table receipt (order_id text primary key, email text not null) strict')

export const reset = () => {
  mails.length = 0
}
export const invariants = {
  'nobody gets the same mail twice': () => {
    const twice = mails.find((mail, index) => mails.indexOf(mail) !== index)
    return twice === undefined || `Sent twice: ${twice}`
  },
}
