/**
 * The mistake: the effect commits, and then the handler publishes, in a step of its own. The process dies between the two; the
 * repeat finds the payment booked and says nothing: `booked` is never published. Right: the context's `publish`, which sends if
 * and only if the transaction commits. (`app.publish` inside `apply` is refused: PUBLISH_INSIDE_APPLY.)
 */
import type { App } from '../../src/index.ts'
import { book, booked, mailReceipts, newApp, payments } from './ledger.ts'

export function application(): App<never> {
  const app = newApp()
  app.consume(payments, {
    group: 'ledger',
    semantics: 'at-least-once',
    async receive(payment) {
      const isBooked = await app.transaction(({ tx }) => {
        const known = tx.get('select 1 from payment where id = ?', payment.id) !== undefined
        return !known && book(payment, tx)
      })
      if (isBooked) await app.publish(booked, payment)
    },
  })
  mailReceipts(app)
  return app as App<never>
}
