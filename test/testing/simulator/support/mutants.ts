import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import type { Payment } from '../../../../examples/mistakes/ledger.ts'
import { book, booked, mailReceipts, newApp, options, payments } from '../../../../examples/mistakes/ledger.ts'
import { mailer } from '../../../../examples/mistakes/mailer.ts'
import type { SqliteTx } from '../../../../src/database/sqlite/index.ts'
import type { App, ApplyContext, BatchItem, ReceiveContext } from '../../../../src/index.ts'
import { RetryLater, TerminalError, topic } from '../../../../src/index.ts'
import type { ProveOptions } from '../../../../src/testing/index.ts'

type Context = ApplyContext<SqliteTx, Payment, Record<never, never>>

export interface Variant {
  readonly application: () => App<never>
  readonly options?: ProveOptions
}

const made = (declare: (app: App<SqliteTx>) => void) => (): App<never> => {
  const app = newApp()
  declare(app)
  return app as App<never>
}

/** The ledger with another way to book; `inMemory` begins anew with every life of a process. */
const applied = <M>(inMemory: () => M, apply: (payment: Payment, context: Context, memory: M) => unknown): Variant => ({
  application: made((app) => {
    const memory = inMemory()
    app.consume(payments, 'ledger', (payment, context) => apply(payment, context, memory))
    mailReceipts(app)
  }),
})
const plainly = (apply: (payment: Payment, context: Context) => unknown): Variant => applied(() => undefined, apply)

const received = (
  receive: (payment: Payment, app: App<SqliteTx>, context: ReceiveContext<Payment>, seen: Set<string>) => unknown,
  semantics: 'at-least-once' | 'at-most-once' = 'at-least-once',
): Variant => ({
  application: made((app) => {
    const seen = new Set<string>()
    app.consume(payments, { group: 'ledger', semantics, receive: (payment, context) => receive(payment, app, context, seen) })
    mailReceipts(app)
  }),
})

const mailed = (keyOf: (payment: Payment, context: ReceiveContext<Payment>) => string): Variant => ({
  application: made((app) => {
    app.consume(payments, 'ledger', (payment, { tx, publish }) => void (book(payment, tx) && publish(booked, payment)))
    app.consume(booked, {
      group: 'receipts',
      semantics: 'at-least-once',
      receive: (payment, context) => mailer.send(`receipt ${payment.id}`, keyOf(payment, context)),
    })
  }),
  options: {
    ...options,
    invariants: {
      ...options.invariants,
      'everybody gets a mail': () => mailer.sent.length >= 3 || `Only ${mailer.sent.length} of 3 mails were sent.`,
    },
  },
})

const balanceOf = (tx: SqliteTx, name: string): number =>
  tx.get<{ balance: number }>('select balance from account where name = ?', name)?.balance ?? 0

/** Moves the money, and leaves the record of it to the caller. */
function move({ from, to, amount }: Payment, tx: SqliteTx): boolean {
  if (balanceOf(tx, from) < amount) return false
  tx.run('update account set balance = balance - ? where name = ?', amount, from)
  tx.run('update account set balance = balance + ? where name = ?', amount, to)
  return true
}

const isKnown = (tx: SqliteTx, { id }: Payment): boolean => tx.get('select 1 from payment where id = ?', id) !== undefined
const remember = (tx: SqliteTx, { id }: Payment, state = 'booked'): unknown =>
  tx.run('insert or ignore into payment (id, state) values (?, ?)', id, state)

const reporting = new DatabaseSync(':memory:')
reporting.exec('create table turnover (payment text, amount integer)')
const report = ({ id, amount }: Payment): unknown => reporting.prepare('insert into turnover values (?, ?)').run(id, amount)
const withReporting: ProveOptions = {
  ...options,
  reset() {
    options.reset()
    reporting.exec('delete from turnover')
  },
  invariants: {
    'each is reported once': () =>
      reporting.prepare('select count(*) as rows, count(distinct payment) as payments from turnover').get()?.rows === 3 &&
      reporting.prepare('select count(distinct payment) as payments from turnover').get()?.payments === 3,
  },
}

const decided: ProveOptions = {
  ...options,
  invariants: {
    ...options.invariants,
    'every payment is decided': (state) => state.all('select 1 from payment').length === 4,
  },
}

const unordered = topic<Payment>('payments', { id: (payment) => payment.id })
/** One payment goes to an account that is not there. */
const toNobody: ProveOptions = {
  ...options,
  workload: [...options.workload, { topic: payments, data: { id: 'p5', from: 'ben', to: 'nobody', amount: 5 } }],
}

/** Each is the correct ledger but for one thing. */
export const mutants: Readonly<Record<string, Variant>> = {
  'a mail is sent in apply, before anything is written': plainly((payment, { tx, publish }) => {
    mailer.send(`payment ${payment.id}`)
    if (book(payment, tx)) publish(booked, payment)
  }),
  'a mail is sent in an asynchronous apply': plainly(async (payment, { tx, publish }) => {
    if (book(payment, tx)) publish(booked, payment)
    await Promise.resolve()
    mailer.send(`payment ${payment.id}`)
  }),
  'the idempotency key is made of the attempt': {
    application: made((app) => {
      app.consume(payments, {
        group: 'receipts',
        semantics: 'at-least-once',
        async receive({ id }, { attempt }) {
          mailer.send(`receipt ${id}`, `${id}-${attempt}`)
          await app.transaction(({ tx }) => tx.run("insert or ignore into receipt values (?, 'sent')", id))
        },
      })
    }),
  },
  'the idempotency key is made of the time': mailed(({ id }) => `${id}-${Date.now()}`),
  'the idempotency key is random': mailed(() => randomUUID()),
  'one idempotency key serves all': mailed(() => 'receipt'),
  'a provider that does not honour tokens is asked again': {
    application: plainly((payment, { tx, publish }) => void (book(payment, tx) && publish(booked, payment))).application,
    options: { ...options, honoursTokens: false },
  },

  'receive, and no deduplication': received((payment, app) =>
    app.transaction(({ tx, publish }) => {
      const done = move(payment, tx)
      remember(tx, payment, done ? 'booked' : 'refused')
      if (done) publish(booked, payment)
    }),
  ),
  'receive, the mark in a transaction before that of the effect': received(async (payment, app) => {
    const isNew = await app.transaction(({ tx }) => !isKnown(tx, payment) && remember(tx, payment))
    if (isNew) await app.transaction(({ tx, publish }) => void (move(payment, tx) && publish(booked, payment)))
  }),
  'receive, the mark in a transaction after that of the effect': received(async (payment, app) => {
    if (await app.transaction(({ tx }) => isKnown(tx, payment))) return
    await app.transaction(({ tx, publish }) => void (move(payment, tx) && publish(booked, payment)))
    await app.transaction(({ tx }) => remember(tx, payment))
  }),
  'receive, the check in a transaction before that of mark and effect': received(async (payment, app) => {
    if (await app.transaction(({ tx }) => isKnown(tx, payment))) return
    await app.transaction(({ tx, publish }) => {
      const done = move(payment, tx)
      remember(tx, payment, done ? 'booked' : 'refused')
      if (done) publish(booked, payment)
    })
  }),
  'receive, seen ids kept in memory': received(async (payment, app, _, seen) => {
    if (seen.has(payment.id)) return
    await app.transaction(({ tx, publish }) => void (move(payment, tx) && publish(booked, payment)))
    seen.add(payment.id)
  }),
  'receive, debit and credit in two transactions': received(async (payment, app) => {
    const { id, from, to, amount } = payment
    const isCovered = await app.transaction(({ tx }) => {
      if (isKnown(tx, payment) || balanceOf(tx, from) < amount) return false
      tx.run("insert into payment (id, state) values (?, 'booked')", id)
      return tx.run('update account set balance = balance - ? where name = ?', amount, from)
    })
    if (isCovered)
      await app.transaction(({ tx }) => tx.run('update account set balance = balance + ? where name = ?', amount, to))
  }),
  'receive, an error of the transaction is swallowed': received((payment, app) =>
    app
      .transaction(({ tx, publish }) => void (!isKnown(tx, payment) && book(payment, tx) && publish(booked, payment)))
      .catch(() => undefined),
  ),
  'receive, the transaction is not awaited': received((payment, app) => {
    app
      .transaction(({ tx, publish }) => void (!isKnown(tx, payment) && book(payment, tx) && publish(booked, payment)))
      .catch(() => undefined)
  }),
  'at most once, for money': received(
    (payment, app) => app.transaction(({ tx, publish }) => void (book(payment, tx) && publish(booked, payment))),
    'at-most-once',
  ),

  'seen ids kept in memory': applied(
    () => new Set<string>(),
    (payment, { tx, publish }, seen) => {
      if (seen.has(payment.id)) return
      seen.add(payment.id)
      if (book(payment, tx)) publish(booked, payment)
    },
  ),
  'only the first attempt has an effect': {
    application: made((app) => {
      app.consume(payments, {
        group: 'ledger',
        inlineAttempts: 1,
        backoffMs: 1,
        apply(payment, { tx, publish, attempt }) {
          if (attempt === 1 && payment.id === 'p2') throw new RetryLater({ afterMs: 1 })
          if (attempt === 1 && book(payment, tx)) publish(booked, payment)
        },
      })
      mailReceipts(app)
    }),
    options: decided,
  },
  'a balance kept between messages': applied(
    () => new Map<string, number>(),
    (payment, { tx, publish }, balances) => {
      const { id, from, to, amount } = payment
      const left = (balances.get(from) ?? balanceOf(tx, from)) - amount
      tx.run('insert into payment (id, state) values (?, ?)', id, left < 0 ? 'refused' : 'booked')
      if (left < 0) return
      balances.set(from, left)
      tx.run('update account set balance = ? where name = ?', left, from)
      tx.run('update account set balance = balance + ? where name = ?', amount, to)
      publish(booked, payment)
    },
  ),
  'a limit that is counted in memory': applied(
    () => new Map<string, number>(),
    (payment, { tx, publish }, spent) => {
      const total = (spent.get(payment.from) ?? 0) + payment.amount
      const isCovered = total <= 100 && book(payment, tx)
      if (isCovered) spent.set(payment.from, total)
      if (isCovered) publish(booked, payment)
      else remember(tx, payment, 'refused')
    },
  ),
  'what was created once is remembered in memory': {
    ...applied(
      () => new Set<string>(),
      ({ id, from, to, amount }, { tx }, opened) => {
        if (!opened.has(to)) tx.run('insert or ignore into account values (?, 0)', to)
        opened.add(to)
        tx.run("insert into payment (id, state) values (?, 'booked')", id)
        tx.run('update account set balance = balance - ? where name = ?', amount, from)
        tx.run('update account set balance = balance + ? where name = ?', amount, to)
      },
    ),
    options: {
      ...options,
      workload: ['p1', 'p2', 'p3'].map((id) => ({ topic: payments, data: { id, from: 'ann', to: 'new', amount: 10 } })),
    },
  },
  'numbers are counted in memory': {
    ...applied(
      () => ({ last: 0 }),
      (payment, { tx, publish }, counter) => {
        if (book(payment, tx)) publish(booked, payment)
        tx.run('insert into receipt values (?, ?)', `number ${++counter.last}`, 'none')
      },
    ),
    options: decided,
  },
  'payments are collected in memory and written by twos': {
    ...applied(
      () => [] as Payment[],
      (payment, { tx, publish }, collected) => {
        collected.push(payment)
        if (collected.length < 2) return
        for (const one of collected.splice(0)) if (book(one, tx)) publish(booked, one)
      },
    ),
    options: decided,
  },

  'a second connection, before tx': {
    ...plainly((payment, { tx, publish }) => {
      if (balanceOf(tx, payment.from) >= payment.amount) report(payment)
      if (book(payment, tx)) publish(booked, payment)
    }),
    options: withReporting,
  },
  'a second connection, after the commit': {
    ...received(async (payment, app) => {
      const done = await app.transaction(({ tx, publish }) => {
        if (isKnown(tx, payment) || !book(payment, tx)) return false
        publish(booked, payment)
        return true
      })
      if (done) report(payment)
    }),
    options: withReporting,
  },
  'a transaction of its own inside apply': {
    application: made((app) => {
      app.consume(payments, 'ledger', async (payment) => {
        await app.transaction(({ tx, publish }) => void (book(payment, tx) && publish(booked, payment)))
      })
    }),
    options: decided,
  },
  'app.publish inside apply': {
    application: made((app) => {
      app.consume(payments, 'ledger', async (payment, { tx }) => {
        if (book(payment, tx)) await app.publish(booked, payment)
      })
    }),
    options: decided,
  },
  'an error in the middle is swallowed': {
    ...plainly(({ id, from, to, amount }, { tx }) => {
      try {
        tx.run("insert into payment (id, state) values (?, 'booked')", id)
        tx.run('update account set balance = balance - ? where name = ?', amount, from)
        const { changes } = tx.run('update account set balance = balance + ? where name = ?', amount, to)
        if (changes === 0) throw new TerminalError(`there is no account ${to}`)
      } catch {}
    }),
    options: toNobody,
  },

  'published after the commit': received(async (payment, app) => {
    const isBooked = await app.transaction(({ tx }) => !isKnown(tx, payment) && book(payment, tx))
    if (isBooked) await app.publish(booked, payment)
  }),
  'published before the commit, under a new id': {
    application: made((app) => {
      const told = topic<Payment>('told')
      app.consume(payments, {
        group: 'ledger',
        semantics: 'at-least-once',
        async receive(payment) {
          await app.publish(told, payment)
          await app.transaction(({ tx }) => void (!isKnown(tx, payment) && book(payment, tx)))
        },
      })
    }),
  },
  'published by the first attempt only': {
    application: made((app) => {
      app.consume(payments, {
        group: 'ledger',
        apply(payment, { tx, publish, attempt }) {
          if (payment.id === 'p2' && attempt === 1) throw new Error('the first attempt fails')
          if (book(payment, tx) && attempt === 1) publish(booked, payment)
        },
      })
      mailReceipts(app)
    }),
    options: {
      ...options,
      invariants: {
        'each that is booked has a receipt': (state) =>
          state.all("select 1 from payment where state = 'booked'").length === state.all('select 1 from receipt').length,
      },
    },
  },

  'a topic without a key, for what depends on order': {
    application: made((app) => {
      app.consume(unordered, 'ledger', (payment, { tx, publish }) => void (book(payment, tx) && publish(booked, payment)))
    }),
    options: { ...options, workload: options.workload.map(({ data }) => ({ topic: unordered, data })) },
  },
  'a batch that reads before it writes': {
    application: made((app) => {
      app.consume(payments, {
        group: 'ledger',
        applyBatch(items: readonly BatchItem<Payment>[], { tx }: { tx: SqliteTx }) {
          const before = new Map(items.map(({ data }) => [data.from, balanceOf(tx, data.from)]))
          for (const { data } of items) {
            tx.run('update account set balance = ? where name = ?', (before.get(data.from) ?? 0) - data.amount, data.from)
            tx.run('update account set balance = balance + ? where name = ?', data.amount, data.to)
          }
        },
      })
    }),
  },
  'what is late by the clock is dropped': plainly((payment, { tx, publish, message }) => {
    if (Date.now() - Date.parse(message.time) > 100) return
    if (book(payment, tx)) publish(booked, payment)
  }),
  'chance decides': plainly((payment, { tx, publish }) => {
    if (Math.random() < 0.5) book(payment, tx)
    else if (book(payment, tx)) publish(booked, payment)
  }),
}
