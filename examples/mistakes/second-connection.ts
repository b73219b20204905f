/**
 * The mistake: part of the effect is written through a connection of its own, which commits by itself. A crash, or a rollback of
 * the handler's transaction, leaves one half; the next attempt writes that half again. Right: everything through `tx`.
 */
import { DatabaseSync } from 'node:sqlite'
import type { App } from '../../src/index.ts'
import type { ProveOptions } from '../../src/testing/index.ts'
import { book, booked, options as common, mailReceipts, newApp, payments } from './ledger.ts'

const reporting = new DatabaseSync(':memory:')
reporting.exec('create table turnover (payment text, amount integer)')

export function application(): App<never> {
  const app = newApp()
  app.consume(payments, 'ledger', (payment, { tx, publish }) => {
    if (!book(payment, tx)) return
    reporting.prepare('insert into turnover values (?, ?)').run(payment.id, payment.amount)
    publish(booked, payment)
  })
  mailReceipts(app)
  return app as App<never>
}

export const options: ProveOptions = {
  ...common,
  reset() {
    common.reset()
    reporting.exec('delete from turnover')
  },
  invariants: {
    ...common.invariants,
    'the reported turnover is what the shop has'(state) {
      const turnover = reporting.prepare('select coalesce(sum(amount), 0) as total from turnover').get()?.total
      const shop = state.get<{ balance: number }>("select balance from account where name = 'shop'")
      return turnover === shop?.balance || `The reported turnover is ${turnover}, and the shop has ${shop?.balance}.`
    },
  },
}
