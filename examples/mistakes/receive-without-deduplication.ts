/**
 * The mistake: `receive` is at least once, and the handler acts as if it were once. Its transaction commits, the process dies
 * before the message is acknowledged, and the money is moved again. Right: `apply`, whose transaction knows the message.
 */
import type { App } from '../../src/index.ts'
import { booked, mailReceipts, newApp, payments } from './ledger.ts'

export function application(): App<never> {
  const app = newApp()
  app.consume(payments, {
    group: 'ledger',
    semantics: 'at-least-once',
    receive: ({ id, from, to, amount }) =>
      app.transaction(({ tx, publish }) => {
        const { changes } = tx.run('update account set balance = balance - ?1 where name = ?2 and balance >= ?1', amount, from)
        tx.run('insert or ignore into payment (id, state) values (?, ?)', id, changes === 1 ? 'booked' : 'refused')
        if (changes === 0) return
        tx.run('update account set balance = balance + ? where name = ?', amount, to)
        publish(booked, { id, from, to, amount })
      }),
  })
  mailReceipts(app)
  return app as App<never>
}
