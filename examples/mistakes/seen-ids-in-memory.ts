/**
 * The mistake: the handler remembers in memory which payments it has seen. Its transaction is rolled back, the memory is not, and
 * the next attempt takes the payment for a repeat: it is lost. Right: nothing; `apply` is only given what was not applied yet.
 */
import type { App } from '../../src/index.ts'
import { book, booked, mailReceipts, newApp, payments } from './ledger.ts'

export function application(): App<never> {
  const app = newApp()
  const seen = new Set<string>()
  app.consume(payments, 'ledger', (payment, { tx, publish }) => {
    if (seen.has(payment.id)) return
    seen.add(payment.id)
    if (book(payment, tx)) publish(booked, payment)
  })
  mailReceipts(app)
  return app as App<never>
}
