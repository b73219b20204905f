/**
 * The mistake: 'at-most-once', so that nothing happens twice, for what must not be lost. The message is acknowledged before the
 * handler runs, and the process dies between the two. Right: `apply`, which is neither lost nor applied twice.
 */
import type { App } from '../../src/index.ts'
import { book, booked, mailReceipts, newApp, payments } from './ledger.ts'

export function application(): App<never> {
  const app = newApp()
  app.consume(payments, {
    group: 'ledger',
    semantics: 'at-most-once',
    receive: (payment) =>
      app.transaction(({ tx, publish }) => {
        if (book(payment, tx)) publish(booked, payment)
      }),
  })
  mailReceipts(app)
  return app as App<never>
}
