/**
 * The mistake: read, modify, write, with a value read for an earlier message. What was rolled back, and what another process has
 * booked meanwhile, is not in it. Right: read it inside the transaction that writes it, or let SQL count.
 */
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import type { App } from '../../src/index.ts'
import { booked, mailReceipts, newApp, payments } from './ledger.ts'

export function application(): App<never> {
  const app = newApp()
  const balances = new Map<string, number>()
  const balanceOf = (name: string, tx: SqliteTx): number =>
    balances.get(name) ?? tx.get<{ balance: number }>('select balance from account where name = ?', name)?.balance ?? 0
  app.consume(payments, 'ledger', (payment, { tx, publish }) => {
    const { id, from, to, amount } = payment
    const left = balanceOf(from, tx) - amount
    tx.run('insert into payment (id, state) values (?, ?)', id, left >= 0 ? 'booked' : 'refused')
    if (left < 0) return
    balances.set(from, left)
    tx.run('update account set balance = ? where name = ?', left, from)
    tx.run('update account set balance = balance + ? where name = ?', amount, to)
    publish(booked, payment)
  })
  mailReceipts(app)
  return app as App<never>
}
