/**
 * The mistake: an idempotency key made anew for every attempt. The provider sends once for a key, and every repeat has another.
 * Right: the `token` Onefold gives, which is the same on every attempt and every redelivery.
 */
import { randomUUID } from 'node:crypto'
import type { App } from '../../src/index.ts'
import { booked, bookPayments, newApp } from './ledger.ts'
import { mailer } from './mailer.ts'

export function application(): App<never> {
  const app = newApp()
  bookPayments(app)
  app.consume(booked, {
    group: 'receipts',
    semantics: 'at-least-once',
    receive: (payment) => mailer.send(`receipt ${payment.id} to ${payment.from}`, randomUUID()),
  })
  return app as App<never>
}
