/**
 * The correct application, and the parts that the mistaken ones beside it share.
 *
 * A payment moves money from an account to a shop unless the account would be overdrawn. What was moved is published as
 * `booked`, and whoever paid gets one receipt by mail.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, PublishInside } from '../../src/index.ts'
import { call, onefold, topic } from '../../src/index.ts'
import type { Committed, ProveOptions } from '../../src/testing/index.ts'
import { mailer } from './mailer.ts'

export interface Payment {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly amount: number
}

export const payments = topic<Payment>('payments', { id: (payment) => payment.id, key: (payment) => payment.from })
export const booked = topic<Payment>('booked', { id: (payment) => payment.id, key: (payment) => payment.from })

export function newApp(): App<SqliteTx> {
  return onefold({ database: sqlite('ledger.db') })
}

/** Books the payment or refuses it; answers whether it was booked. */
export function book(payment: Payment, tx: SqliteTx): boolean {
  const { id, from, to, amount } = payment
  const covered = (tx.get<{ balance: number }>('select balance from account where name = ?', from)?.balance ?? 0) >= amount
  tx.run('insert into payment (id, state) values (?, ?)', id, covered ? 'booked' : 'refused')
  if (!covered) return false
  tx.run('update account set balance = balance - ? where name = ?', amount, from)
  tx.run('update account set balance = balance + ? where name = ?', amount, to)
  return true
}

export function bookPayments(app: App<SqliteTx>): void {
  app.consume(payments, {
    group: 'ledger',
    apply(payment: Payment, { tx, publish }: { tx: SqliteTx; publish: PublishInside }) {
      if (book(payment, tx)) publish(booked, payment)
    },
  })
}

export function mailReceipts(app: App<SqliteTx>): void {
  app.consume(booked, {
    group: 'receipts',
    calls: { mail: call((payment: Payment, { token }) => mailer.send(`receipt ${payment.id} to ${payment.from}`, token)) },
    apply: (payment, { tx, calls }) => tx.run('insert into receipt (payment, mail) values (?, ?)', payment.id, calls.mail.id),
  })
}

export function application(): App<SqliteTx> {
  const app = newApp()
  bookPayments(app)
  mailReceipts(app)
  return app
}

const pay = (id: string, from: string, amount: number): Payment => ({ id, from, to: 'shop', amount })

/** How each of the applications is put to the proof. */
export const options = {
  setup(database: DatabaseSync) {
    database.exec(`
      create table account (name text primary key, balance integer not null) strict;
      create table payment (id text primary key, state text not null) strict;
      create table receipt (payment text primary key, mail text not null) strict;
      insert into account values ('ann', 100), ('ben', 100), ('shop', 0)`)
  },
  reset: () => mailer.reset(),
  workload: [
    pay('p1', 'ann', 40),
    pay('p2', 'ben', 10),
    pay('p3', 'ann', 50),
    // Refused: ann has 10 left. And the first one comes once more, as if its answer had been lost.
    pay('p4', 'ann', 30),
    pay('p1', 'ann', 40),
  ].map((data) => ({ topic: payments, data })),
  invariants: {
    'money is neither made nor lost'(state: Committed) {
      const total = state.get<{ total: number }>('select sum(balance) as total from account')?.total
      return total === 200 || `The accounts hold ${total} in all, and began with 200.`
    },
    'no account is overdrawn'(state: Committed) {
      const [account] = state.all<{ name: string; balance: number }>('select * from account where balance < 0')
      return account === undefined || `The account of ${account.name} is at ${account.balance}.`
    },
    'nobody gets a mail twice'() {
      const again = mailer.sent.find((text, index) => mailer.sent.indexOf(text) < index)
      return again === undefined || `Sent more than once: ${again}.`
    },
  },
} satisfies ProveOptions
