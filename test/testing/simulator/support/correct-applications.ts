import type { DatabaseSync } from 'node:sqlite'
import { application as ledger, options as ledgerOptions } from '../../../../examples/mistakes/ledger.ts'
import type { SqliteTx } from '../../../../src/database/sqlite/index.ts'
import { sqlite } from '../../../../src/database/sqlite/index.ts'
import type { App, PublishInside } from '../../../../src/index.ts'
import { call, onefold, RetryLater, TerminalError, topic } from '../../../../src/index.ts'
import type { ProveOptions } from '../../../../src/testing/index.ts'

export interface Correct {
  readonly application: () => App<never>
  readonly options: ProveOptions
}

interface Task {
  readonly id: string
  readonly key: string
  /** How many attempts fail. */
  readonly fails?: number
  readonly forGood?: boolean
}

const naming = { id: ({ id }: Task) => id, key: ({ key }: Task) => key }
const tasks = topic<Task>('tasks', naming)
const later = topic<Task>('later', naming)
const last = topic<Task>('last', naming)
const inTurn = topic<Task>('in-turn', { ...naming, order: 'total' })
const unordered = topic<Task>('unordered', { id: naming.id, order: 'none' })
const unorderedNext = topic<Task>('unordered-next', { id: naming.id, order: 'none' })

/** `entry` may hold a message of a group once; `chain` says in which order those of a key were applied. */
const setup = (database: DatabaseSync): void =>
  database.exec(`
    create table entry (grp text, id text, note text not null, primary key (grp, id)) strict;
    create table chain (name text primary key, ids text not null) strict`)

const enter = (tx: SqliteTx, group: string, { id }: Task, note: unknown = ''): void =>
  void tx.run('insert into entry values (?, ?, ?)', group, id, JSON.stringify(note))
const link = (tx: SqliteTx, name: string, { id }: Task): void =>
  void tx.run("insert into chain values (?, ?) on conflict do update set ids = ids || ' ' || excluded.ids", name, id)

const made = (declare: (app: App<SqliteTx>) => void) => (): App<never> => {
  const app = onefold({ database: sqlite('nowhere.db') })
  declare(app)
  return app as App<never>
}

const task = (id: string, key: string, more: Partial<Task> = {}): Task => ({ id, key, ...more })
const some = [task('a1', 'a'), task('b1', 'b'), task('a2', 'a'), task('a1', 'a'), task('c1', 'c')]
const options = (data: readonly Task[] = some, to = tasks): ProveOptions => ({
  setup,
  workload: data.map((one) => ({ topic: to, data: one })),
})

const failing = [
  task('a1', 'a', { fails: 1 }),
  task('a2', 'a'),
  task('b1', 'b', { forGood: true }),
  task('b2', 'b'),
  task('c1', 'c', { fails: 3 }),
  task('c2', 'c'),
]
const quick = { backoffMs: 5, maxBackoffMs: 20 } as const

/** A handler that fails as often as the message says, and then does its work. */
function stumble({ fails = 0, forGood = false }: Task, attempt: number): void {
  if (forGood) throw new TerminalError('this one never works')
  if (attempt <= fails) throw attempt % 2 === 1 ? new RetryLater({ afterMs: 3 }) : new Error('this attempt fails')
}

const asks = (rule: 'repeat' | 'ask-person' | 'probe') =>
  made((app) =>
    app.consume(tasks, {
      ...quick,
      group: 'caller',
      calls: {
        charge: call((one: Task) => ({ id: one.id }), { whenUnknown: rule === 'probe' ? () => 'unknown' as const : rule }),
      },
      apply: (one, { tx, calls }) => enter(tx, 'caller', one, calls.charge),
    }),
  )

const hop =
  (group: string, next?: typeof tasks) =>
  (one: Task, { tx, publish }: { tx: SqliteTx; publish: PublishInside }): void => {
    enter(tx, group, one)
    link(tx, `${group} ${one.key}`, one)
    if (next !== undefined) publish(next, one)
  }

const chained = made((app) => {
  app.consume(tasks, 'first', hop('first', later))
  app.consume(later, 'second', hop('second', last))
  app.consume(last, 'third', hop('third'))
})
const single = made((app) => app.consume(tasks, 'one', hop('one')))

/** Applications without a mistake, of every kind. What `prove` says against one of them is wrong, or a bug of the library. */
export const correctApplications: Readonly<Record<string, Correct>> = {
  'a ledger with receipts': { application: () => ledger() as App<never>, options: ledgerOptions },
  'one group, order per key': { application: single, options: options() },
  'one worker': { application: single, options: { ...options(), workers: 1 } },
  'four workers': { application: single, options: { ...options(), workers: 4 } },
  'every commit may fail': { application: chained, options: { ...options(some.slice(0, 3)), everyCommit: true } },
  'a chain of three topics': { application: chained, options: options() },
  'several groups of one topic': {
    application: made((app) => {
      for (const group of ['red', 'green', 'blue']) app.consume(tasks, group, hop(group))
    }),
    options: options(),
  },
  'handlers that fail, and hold their key': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'holds',
        apply(one, context) {
          stumble(one, context.attempt)
          hop('holds', later)(one, context)
        },
      }),
    ),
    options: options(failing),
  },
  'handlers that fail, and are skipped': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'skips',
        onExhausted: 'skip',
        apply(one, { tx, attempt }) {
          stumble(one, attempt)
          enter(tx, 'skips', one)
        },
      }),
    ),
    options: options(failing),
  },
  'handlers that fail at once': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'impatient',
        inlineAttempts: 1,
        maxAttempts: 2,
        apply(one, { tx, attempt }) {
          enter(tx, 'impatient', one)
          stumble(one, attempt)
        },
      }),
    ),
    options: options(failing),
  },
  'batches, one of which fails': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'batch',
        applyBatch(items, { tx }) {
          for (const { data, attempt, publish } of items) {
            stumble(data, attempt)
            enter(tx, 'batch', data)
            link(tx, data.key, data)
            publish(later, data)
          }
        },
      }),
    ),
    options: options(failing),
  },
  'batches of two': {
    application: made((app) =>
      app.consume(tasks, {
        group: 'batch',
        batchSize: 2,
        applyBatch(items, { tx }) {
          for (const { data } of items) link(tx, data.key, data)
        },
      }),
    ),
    options: options(),
  },
  'a call that is repeated': { application: asks('repeat'), options: options() },
  'a call that a person is asked about': { application: asks('ask-person'), options: options() },
  'a call that is probed': { application: asks('probe'), options: options() },
  'two calls, one of them not always': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'caller',
        calls: {
          charge: call((one: Task) => ({ id: one.id })),
          mail: call((one: Task) => ({ id: one.id }), { when: (one) => one.key === 'a', whenUnknown: () => 'unknown' as const }),
        },
        apply(one, { tx, calls, publish }) {
          enter(tx, 'caller', one, [calls.charge, calls.mail ?? null])
          publish(later, one)
        },
      }),
    ),
    options: options(),
  },
  'a call before a handler that fails': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'caller',
        calls: { charge: call((one: Task) => ({ id: one.id })) },
        apply(one, { tx, calls, attempt }) {
          stumble(one, attempt)
          enter(tx, 'caller', one, calls.charge)
        },
      }),
    ),
    options: options(failing),
  },
  'a provider that does not honour tokens, and a person who is asked': {
    application: asks('ask-person'),
    options: { ...options(), honoursTokens: false },
  },
  'messages for later': {
    application: made((app) => {
      app.consume(tasks, 'now', (one, { tx, publish }) => {
        enter(tx, 'now', one)
        publish(later, one, { deliverAt: new Date(Date.now() + 40) })
      })
      app.consume(later, 'then', (one, { tx }) => enter(tx, 'then', one))
    }),
    options: options(),
  },
  'one order for all': {
    application: made((app) => app.consume(inTurn, 'all', (one, { tx }) => link(tx, 'all', one))),
    options: options(some, inTurn),
  },
  'one order for all, and one that fails': {
    application: made((app) =>
      app.consume(inTurn, {
        ...quick,
        group: 'all',
        apply(one, { tx, attempt }) {
          stumble(one, attempt)
          link(tx, 'all', one)
        },
      }),
    ),
    options: options(failing.slice(0, 2).concat(failing.slice(4)), inTurn),
  },
  'no order at all': {
    application: made((app) =>
      app.consume(unordered, {
        ...quick,
        group: 'any',
        apply(one, { tx, attempt }) {
          stumble(one, attempt)
          enter(tx, 'any', one)
        },
      }),
    ),
    options: options(failing, unordered),
  },
  'handlers that wait': {
    application: made((app) =>
      app.consume(tasks, 'slow', async (one, { tx, publish }) => {
        enter(tx, 'slow', one)
        await new Promise((resolve) => setTimeout(resolve, 7))
        link(tx, one.key, one)
        await Promise.resolve()
        publish(later, one)
      }),
    ),
    options: options(),
  },
  'receive with an inbox of its own': {
    application: made((app) =>
      app.consume(tasks, {
        ...quick,
        group: 'own',
        semantics: 'at-least-once',
        async receive(one, { attempt }) {
          stumble(one, attempt)
          await new Promise((resolve) => setTimeout(resolve, 3))
          await app.transaction(({ tx, publish }) => {
            if (tx.get("select 1 from entry where grp = 'own' and id = ?", one.id) !== undefined) return
            enter(tx, 'own', one)
            publish(later, one)
          })
        },
      }),
    ),
    options: options(failing),
  },
  'receive that has no effect, at most once': {
    application: made((app) => {
      app.consume(tasks, { group: 'gauge', semantics: 'at-most-once', receive: () => undefined })
      app.consume(tasks, 'one', hop('one'))
    }),
    options: options(),
  },
  'the same id with other data': {
    application: single,
    options: options([task('a1', 'a'), task('a1', 'b'), task('a2', 'a')]),
  },
  'a broker that is a log': { application: chained, options: { ...options(), broker: 'log' } },
  'a broker whose log holds duplicates': { application: chained, options: { ...options(), broker: 'log with duplicates' } },
  'a broker that is a queue': {
    application: made((app) => {
      app.consume(unordered, 'any', (one, { tx, publish }) => {
        enter(tx, 'any', one)
        publish(unorderedNext, one)
      })
      app.consume(unorderedNext, 'next', (one, { tx }) => enter(tx, 'next', one))
    }),
    options: { ...options(some, unordered), broker: 'queue' },
  },
}
