import { randomUUID } from 'node:crypto'
import { book, booked, mailReceipts, newApp, options, payments } from '../../../../examples/mistakes/ledger.ts'
import type { App } from '../../../../src/index.ts'
import type { ProveOptions } from '../../../../src/testing/index.ts'
import type { Variant } from './mutants.ts'

const withTable = (columns: string): ProveOptions => ({
  ...options,
  setup(database) {
    options.setup(database)
    database.exec(`create table note (${columns})`)
  },
})

/** What looks like a mistake, and is none: why stands with each. */
export const lookAlikes: Readonly<Record<string, Variant & { readonly why: string }>> = {
  'a random id is written': {
    why: 'it is rolled back with the rest',
    options: withTable('id text, payment text'),
    application() {
      const app = newApp()
      app.consume(payments, 'ledger', (payment, { tx, publish }) => {
        tx.run('insert into note values (?, ?)', randomUUID(), payment.id)
        if (book(payment, tx)) publish(booked, payment)
      })
      mailReceipts(app)
      return app as App<never>
    },
  },
  'a number by Math.random is written': {
    why: 'it is rolled back with the rest',
    options: withTable('number real, payment text'),
    application() {
      const app = newApp()
      app.consume(payments, 'ledger', (payment, { tx, publish }) => {
        tx.run('insert into note values (?, ?)', Math.random(), payment.id)
        if (book(payment, tx)) publish(booked, payment)
      })
      return app as App<never>
    },
  },
  'app.publish inside apply, with its tx': {
    why: 'it joins the transaction of the effect',
    application() {
      const app = newApp()
      app.consume(payments, 'ledger', async (payment, { tx }) => {
        if (book(payment, tx)) await app.publish(booked, payment, { tx })
      })
      mailReceipts(app)
      return app as App<never>
    },
  },
  'published before the commit, under the id of the payment': {
    why: 'a repeat publishes what the topic knows already, and the transaction knows what it has booked',
    application() {
      const app = newApp()
      app.consume(payments, {
        group: 'ledger',
        semantics: 'at-least-once',
        async receive(payment) {
          await app.publish(booked, payment)
          await app.transaction(({ tx }) => {
            if (tx.get('select 1 from payment where id = ?', payment.id) === undefined) book(payment, tx)
          })
        },
      })
      mailReceipts(app)
      return app as App<never>
    },
  },
  'receive, mark and effect in one transaction that looks for the mark': {
    why: 'this is an inbox made by hand',
    application() {
      const app = newApp()
      app.consume(payments, {
        group: 'ledger',
        semantics: 'at-least-once',
        receive: (payment) =>
          app.transaction(({ tx, publish }) => {
            if (tx.get('select 1 from payment where id = ?', payment.id) !== undefined) return
            if (book(payment, tx)) publish(booked, payment)
          }),
      })
      mailReceipts(app)
      return app as App<never>
    },
  },
  'seen ids kept in memory after their commit, beside the mark in the database': {
    why: 'memory only spares a look; what a new life does not remember, the database does',
    application() {
      const app = newApp()
      const seen = new Set<string>()
      app.consume(payments, {
        group: 'ledger',
        semantics: 'at-least-once',
        async receive(payment) {
          if (seen.has(payment.id)) return
          await app.transaction(({ tx, publish }) => {
            if (tx.get('select 1 from payment where id = ?', payment.id) !== undefined) return
            if (book(payment, tx)) publish(booked, payment)
          })
          seen.add(payment.id)
        },
      })
      mailReceipts(app)
      return app as App<never>
    },
  },
  'the time is written': {
    why: 'it says when it was applied, and is not compared',
    options: withTable('at text, payment text'),
    application() {
      const app = newApp()
      app.consume(payments, 'ledger', (payment, { tx, publish }) => {
        tx.run('insert into note values (?, ?)', new Date().toISOString(), payment.id)
        if (book(payment, tx)) publish(booked, payment)
      })
      mailReceipts(app)
      return app as App<never>
    },
  },
}
