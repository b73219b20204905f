import { describe, expect, test } from 'vitest'
import type { SqliteTx } from '../../../src/database/sqlite/index.ts'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import type { App } from '../../../src/index.ts'
import { CallFailed, call, onefold, TerminalError, topic } from '../../../src/index.ts'
import type { ProveOptions } from '../../../src/testing/index.ts'
import { prove } from '../../../src/testing/index.ts'
import { failureOf } from './support/failure-of.ts'

interface Order {
  readonly id: string
  readonly amount: number
}
const orders = topic<Order>('orders', { id: ({ id }) => id, key: ({ id }) => id })
const workload = [
  { topic: orders, data: { id: 'a', amount: 5 } },
  { topic: orders, data: { id: 'b', amount: 7 } },
  { topic: orders, data: { id: 'a', amount: 5 } },
]
const options: ProveOptions = {
  workload,
  setup: (database) => database.exec('create table entry (id text primary key, what text not null) strict'),
  deviations: 1,
  maxSchedules: 140,
  budgetMs: 60_000,
}

const made =
  (declare: (app: App<SqliteTx>) => void): (() => App<SqliteTx>) =>
  () => {
    const app = onefold({ database: sqlite('nowhere.db') })
    declare(app)
    return app
  }
const enter = (tx: SqliteTx, id: string, what: string): void => void tx.run('insert into entry values (?, ?)', id, what)

const plain = made((app) => app.consume(orders, 'book', ({ id }, { tx }) => enter(tx, id, 'booked')))

/** `apply` is told of a refusal, and deals with it. */
const dealing = (paid: (status: string) => string) =>
  made((app) =>
    app.consume(orders, {
      group: 'shop',
      calls: { charge: call(({ id }: Order) => ({ id }), { whenFailed: 'apply' }) },
      apply: ({ id }, { tx, calls }) => enter(tx, id, paid(calls.charge.status)),
    }),
  )
const right = dealing((status) => (status === 'happened' ? 'paid' : 'declined'))

const timeout = 60_000

describe('another side that refuses', { timeout }, () => {
  test('is placed at every request, busy and declining; who deals with that is not accused', async () => {
    const { coverage } = await prove(right, options)
    expect(coverage['request charge · refused: declined (402)']).toBeGreaterThan(0)
    const again = made((app) =>
      app.consume(orders, {
        group: 'shop',
        maxAttempts: 1,
        calls: { charge: call(({ id }: Order) => ({ id })) },
        apply: ({ id }, { tx }) => enter(tx, id, 'paid'),
      }),
    )
    const certificate = await prove(again, options)
    expect(certificate.coverage['request charge · refused: busy (503)']).toBeGreaterThan(0)
  })

  test('is the end of who takes every answer for a yes: it pays for what was declined', async () => {
    const mails: string[] = []
    const wrong = made((app) =>
      app.consume(orders, {
        group: 'shop',
        calls: { charge: call(({ id }: Order) => ({ id }), { whenFailed: 'apply' }) },
        apply: ({ id }, { tx, calls }) => enter(tx, id, calls.charge.status === 'skipped' ? 'free' : 'paid'),
      }),
    )
    const failure = await failureOf(wrong, {
      ...options,
      outside: {
        charge: (data) => {
          const { id } = data as Order
          mails.push(id)
          return { id }
        },
      },
      reset: () => {
        mails.length = 0
      },
      invariants: {
        'what is paid was charged': (state) =>
          state.all<{ id: string }>("select id from entry where what = 'paid'").every(({ id }) => mails.includes(id)),
      },
    })
    expect(failure.rule).toBe('what is paid was charged')
    expect(failure.faults).toEqual([expect.stringContaining('refused: declined (402)')])
    expect(failure.text).toContain('it is refused: declined')
  })

  test('may be told by its model to refuse one message in every schedule', async () => {
    const certificate = await prove(right, {
      ...options,
      outside: {
        charge: (data) => {
          if ((data as Order).amount === 7) throw new CallFailed('not for that much')
          return { id: 'yes' }
        },
      },
      invariants: {
        'b is declined': (state) => state.get("select 1 from entry where id = 'b' and what = 'declined'") !== undefined,
      },
    })
    expect(certificate.schedules).toBe(140)
  })

  test('that throws what is no refusal is a mistake of its model, and says so', async () => {
    const outside = {
      charge: () => {
        throw new Error('the model is mistaken')
      },
    }
    const failure = await failureOf(right, { ...options, outside })
    expect(failure).toMatchObject({ rule: 'no error', what: expect.stringContaining('the model is mistaken') })
  })
})

describe('a handler that ends its process whenever it runs for a message', { timeout }, () => {
  test('is given up, and nobody else; when it is mended the end is that of a run without it', async () => {
    const { coverage } = await prove(plain, options)
    expect(coverage['the handler of orders/book · ends its process whenever it runs']).toBeGreaterThan(1)
  })
})

describe('a person who redrives a dead letter at once', { timeout }, () => {
  const mails: string[] = []
  const refusing = (first: (attempt: number) => boolean) =>
    made((app) =>
      app.consume(orders, 'mail', ({ id, amount }, { tx, attempt }) => {
        if (amount === 7 && first(attempt)) mails.push(id)
        if (amount === 7) throw new TerminalError('not for that much')
        enter(tx, id, 'mailed')
      }),
    )
  const watching: ProveOptions = {
    ...options,
    reset: () => {
      mails.length = 0
    },
    invariants: { 'nobody gets the same mail twice': () => mails.length <= 1 || `Sent: ${mails.join(', ')}.` },
    workload: [{ topic: orders, data: { id: 'b', amount: 7 } }, workload[0] as (typeof workload)[number]],
  }

  test('changes nothing for a handler that fails again', async () => {
    const { coverage } = await prove(
      refusing(() => false),
      { ...watching, maxSchedules: 60 },
    )
    expect(coverage['a dead letter of orders/mail · redriven by two people at once']).toBeGreaterThan(0)
  })

  test('has a mail sent again that goes out of the first attempt', async () => {
    const failure = await failureOf(
      refusing((attempt) => attempt === 1),
      watching,
    )
    expect(failure.rule).toBe('nobody gets the same mail twice')
  })
})

describe('a process that is told to stop, frozen inside its transaction, or asked whether it is idle', { timeout }, () => {
  test('harms nobody who has made no mistake', async () => {
    const { coverage, notSimulated, simulated } = await prove(plain, options)
    for (const what of ['told to stop before it', 'told to stop at once before it', 'frozen inside its transaction'])
      expect(coverage[`consume orders/book · ${what}`], what).toBeGreaterThan(0)
    expect(coverage['whether workers are idle · somebody waits until they are']).toBeGreaterThan(0)
    expect(notSimulated.join()).not.toContain('frozen inside')
    expect(simulated.join()).toContain('a person who settles what is unknown')
  })
})

describe('a producer that publishes in transactions of its own', { timeout }, () => {
  test('loses nothing, and its row is there if and only if the message is', async () => {
    const { coverage } = await prove(plain, { ...options, deviations: 2, maxSchedules: 250 })
    expect(coverage['how messages are published · in transactions of its own']).toBeGreaterThan(1)
    expect(coverage['how messages are published · many at once']).toBeGreaterThan(1)
  })
})

test('the same id with other data behind a broker that holds both: the group refuses the second, and nobody is accused', {
  timeout,
}, async () => {
  const other = { topic: orders, data: { id: 'a', amount: 6 } }
  const { schedules } = await prove(plain, { ...options, workload: [...workload, other], broker: 'log', maxSchedules: 60 })
  expect(schedules).toBe(60)
})

test('SQL inside app.transaction is told in the story', { timeout }, async () => {
  const app = made((one) =>
    one.consume(orders, {
      group: 'twice',
      semantics: 'at-least-once',
      receive: ({ id }) =>
        one.transaction(({ tx }) => void tx.run("insert into entry values (? || hex(randomblob(4)), 'x')", id)),
    }),
  )
  const failure = await failureOf(app, options)
  expect(failure.story.map(({ what }) => what)).toContainEqual(expect.stringContaining('insert into entry values'))
})
