/**
 * The mistake: the mail is sent inside `apply`. A rollback takes back what was written, never what was sent, and the message is
 * applied again: a second mail. Right: declare the mail as a call (`mailReceipts` in ledger.ts).
 */
import type { App } from '../../src/index.ts'
import { book, booked, mailReceipts, newApp, payments } from './ledger.ts'
import { mailer } from './mailer.ts'

export function application(): App<never> {
  const app = newApp()
  app.consume(payments, 'ledger', (payment, { tx, publish }) => {
    if (!book(payment, tx)) return
    publish(booked, payment)
    mailer.send(`${payment.from} pays ${payment.amount} for ${payment.id}`)
  })
  mailReceipts(app)
  return app as App<never>
}
