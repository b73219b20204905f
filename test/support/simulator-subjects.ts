import type { DatabaseSync } from 'node:sqlite'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App, CallOptions, Topic } from '../../src/index.ts'
import { CallFailed, call, onefold, TerminalError, topic } from '../../src/index.ts'
import type { ProveOptions } from '../../src/testing/index.ts'

/** Handlers that are right, and a workload that is not too kind: what a mutant of the core must not get past. */
export interface StandardSubject {
  readonly name: string
  readonly make: () => App<SqliteTx>
  readonly options: ProveOptions
  /** Schedules, at most: about as many as there are placements of one fault. */
  readonly most?: number
}

interface Payment {
  readonly id: string
  readonly account: string
  readonly amount: number
}
interface Note {
  readonly id: string
  readonly key: string
}
interface Task extends Note {
  /** Attempts that fail; 'for good': one, and no other is worth while; else it ends well, and its commit or what it publishes is refused. */
  readonly fails: number | 'for good' | 'at COMMIT' | 'at publish'
}

const byId = { id: ({ id }: { id: string }) => id }
const payments = topic<Payment>('payments', { ...byId, key: ({ account }) => account })
const notes = topic<Note>('notes', { ...byId, key: ({ key }) => key })
const tasks = topic<Task>('tasks', { ...byId, key: ({ key }) => key })
/** Whoever publishes says its id: two may say the same. */
const clicks = topic<Omit<Task, 'id'>>('clicks', { order: 'none' })
const counts = topic<Note>('counts', { ...byId, order: 'none' })
const files = topic<{ readonly id: string; readonly lines: readonly Task[] }>('files', { ...byId, key: () => 'all' })
const readings = topic<Task>('readings', { ...byId, key: ({ key }) => key })

/** What was done for a key, in this order: shows what is missing, what is twice and what has overtaken. */
const tables = (database: DatabaseSync): void =>
  database.exec(`create table account (account text primary key, balance integer not null, entries text not null);
    create table done (name text primary key, ids text not null);
    create table refused (id text not null);
    create table parent (id integer primary key);
    create table child (parent integer references parent deferrable initially deferred)`)

function mark(tx: SqliteTx, name: string, id: string): void {
  tx.run("insert into done values (?, ?) on conflict do update set ids = ids || ' ' || excluded.ids", name, id)
}

/** Kills and lost answers say nothing about a message here, however many there are: the end must be that of a quiet run. */
const patient = { maxCrashes: 100, backoffMs: 8, maxBackoffMs: 16 }
/** What was done where no transaction undoes it. */
const made: string[] = []
const madeAnew = { reset: () => void made.splice(0) }
const newApp = (): App<SqliteTx> => onefold({ database: sqlite('nowhere.db') })

function ledger(): App<SqliteTx> {
  const app = newApp()
  app.consume(payments, {
    ...patient,
    group: 'ledger',
    apply({ id, account, amount }, { tx, publish }) {
      const before = tx.get<{ balance: number }>('select balance from account where account = ?', account)
      publish(notes, { id: `opened ${account}`, key: account })
      if ((before?.balance ?? 0) + amount < 0) {
        tx.run('insert into refused values (?)', id)
        return
      }
      tx.run(
        `insert into account values (?1, ?2, ?3)
         on conflict do update set balance = balance + ?2, entries = entries || ' ' || ?3`,
        account,
        amount,
        id,
      )
      publish(notes, { id: `receipt ${id}`, key: account })
    },
  })
  app.consume(notes, { ...patient, group: 'mail', apply: ({ id, key }, { tx }) => mark(tx, `mail ${key}`, id) })
  return app
}

const ledgerWorkload = [
  { topic: payments, data: { id: 'p1', account: 'a', amount: 5 } },
  { topic: payments, data: { id: 'p2', account: 'b', amount: 7 } },
  { topic: payments, data: { id: 'p1', account: 'a', amount: 5 } },
  { topic: payments, data: { id: 'p3', account: 'a', amount: -100 } },
  { topic: payments, data: { id: 'p2', account: 'b', amount: 70 } },
  { topic: payments, data: { id: 'p4', account: 'a', amount: -2 } },
]

const ledgerEnd = [
  'account a: 3, by p1 p4',
  'account b: 7, by p2',
  'done mail a: opened a receipt p1 receipt p4',
  'done mail b: opened b receipt p2',
  'refused p3',
]

/** No broker but the database refuses an id that is used again for something else: its message comes to wait for a person. */
const withoutReuse = ledgerWorkload.filter(({ data }) => data.amount !== 70)

/** Called when its attempt fails after it has written and published. */
function fail({ fails }: Pick<Task, 'fails'>, attempt: number, id: string): void {
  if (fails === 'for good') throw new TerminalError(`${id} can never be done`)
  if (typeof fails === 'number' && attempt <= fails) throw new Error(`attempt ${attempt} of ${id} fails`)
}

function failing(onExhausted: 'hold' | 'skip', maxAttempts = 4): App<SqliteTx> {
  const app = newApp()
  app.consume(tasks, {
    ...patient,
    group: 'work',
    maxAttempts,
    onExhausted,
    async apply(task, { tx, publish, attempt }) {
      mark(tx, task.key, task.id)
      publish(notes, { id: `done ${task.id} at ${attempt}`, key: task.key })
      await undefined
      if (task.fails === 'at publish') for (const key of ['x', 'y']) publish(notes, { id: `twice ${task.id}`, key })
      if (task.fails === 'at COMMIT') tx.run('insert into child values (1)')
      fail(task, attempt, task.id)
    },
  })
  return app
}

/** No transaction: what is promised is that nothing is lost, or twice, and that keys keep their order. */
function receiving<D extends Pick<Task, 'fails'>>(
  from: Topic<D>,
  semantics: 'at-least-once' | 'at-most-once' = 'at-least-once',
): App<SqliteTx> {
  const app = newApp()
  app.consume(from, {
    ...patient,
    group: 'send',
    semantics,
    concurrency: 2,
    maxAttempts: 4,
    async receive(task, { message: { id }, attempt }) {
      await undefined
      made.push(id)
      fail(task, attempt, id)
    },
  })
  return app
}

const failingWorkload = [
  { topic: tasks, data: { id: 't1', key: 'b', fails: 3 } },
  { topic: tasks, data: { id: 't2', key: 'a', fails: 1 } },
  { topic: tasks, data: { id: 't3', key: 'b', fails: 0 } },
  { topic: tasks, data: { id: 't4', key: 'c', fails: 1e9 } },
  { topic: tasks, data: { id: 't5', key: 'c', fails: 0 } },
  { topic: tasks, data: { id: 't6', key: 'd', fails: 'for good' as const } },
  { topic: tasks, data: { id: 't7', key: 'b', fails: 0 } },
  // Its first one waits for a person by then.
  { topic: tasks, data: { id: 't4', key: 'c', fails: 1e9 } },
]
/** One of them more often than attempts are kept. */
const oftenFailing = [
  { topic: tasks, data: { id: 't1', key: 'a', fails: 'for good' as const } },
  { topic: tasks, data: { id: 't2', key: 'b', fails: 22 } },
]
const refusedAtCommit = { topic: tasks, data: { id: 't8', key: 'e', fails: 'at COMMIT' as const } }
const refusedAtPublish = { topic: tasks, data: { id: 't9', key: 'f', fails: 'at publish' as const } }
const oftenEnd = ['attention dead-letter t1', 'done b: t2']
const failingEnd = ['attention dead-letter t4', 'attention dead-letter t6', 'done a: t2', 'done b: t1 t3 t7']

/** What is published with one commit comes in one batch. */
function batches(): App<SqliteTx> {
  const app = newApp()
  app.consume(files, {
    ...patient,
    group: 'read',
    apply({ lines }, { publish }) {
      for (const line of lines) publish(readings, line)
    },
  })
  app.consume(readings, {
    group: 'sum',
    maxAttempts: 4,
    maxCrashes: 100,
    // Long enough for others to come meanwhile.
    backoffMs: 40,
    maxBackoffMs: 80,
    applyBatch(items, { tx }) {
      for (const { data, attempt, publish } of items) {
        mark(tx, data.key, data.id)
        publish(notes, { id: `done ${data.id}`, key: data.key })
        fail(data, attempt, data.id)
      }
    },
  })
  return app
}

const m1 = { id: 'm1', key: 'a', fails: 0 }
const batchWorkload = [
  { topic: files, data: { id: 'f1', lines: [m1, { id: 'm2', key: 'b', fails: 2 }] } },
  { topic: files, data: { id: 'f2', lines: [{ id: 'm3', key: 'b', fails: 0 }, { id: 'm4', key: 'c', fails: 0 }, m1] } },
  { topic: files, data: { id: 'f3', lines: [{ id: 'm5', key: 'a', fails: 'for good' as const }] } },
  {
    topic: files,
    data: {
      id: 'f4',
      lines: [
        { id: 'm6', key: 'a', fails: 0 },
        { id: 'm7', key: 'c', fails: 0 },
      ],
    },
  },
]
const batchEnd = ['attention dead-letter m5', 'done a: m1', 'done b: m2 m3', 'done c: m4 m7']

/** Nothing here depends on the order of things: it is for a broker that keeps none. */
function unordered(): App<SqliteTx> {
  const app = newApp()
  app.consume(clicks, {
    ...patient,
    group: 'count',
    maxAttempts: 4,
    apply(click, { tx, publish, attempt, message: { id } }) {
      mark(tx, id, 'counted')
      publish(counts, { id: `count ${id}`, key: click.key })
      fail(click, attempt, id)
    },
  })
  app.consume(counts, { ...patient, group: 'sum', apply: ({ id }, { tx }) => mark(tx, id, 'summed') })
  return app
}

const unorderedWorkload = [
  { topic: clicks, id: 'c1', data: { key: 'a', fails: 0 } },
  { topic: clicks, id: 'c2', data: { key: 'a', fails: 3 } },
  { topic: clicks, id: 'c1', data: { key: 'a', fails: 0 } },
  { topic: clicks, id: 'c3', data: { key: 'b', fails: 'for good' as const } },
  { topic: clicks, id: 'c4', data: { key: 'a', fails: 3 } },
]
/** Nothing is published twice, so a window may forget it: each states one time. */
const withoutRepeats = unorderedWorkload.toSpliced(2, 1)
/** The number of its row is known for ever, so nobody has to be asked about it. */
const neverLate: Partial<ProveOptions> = {
  invariants: {
    'what came by an outbox is never late': (state) =>
      state.get("select 1 from onefold_attention where kind = 'late-message' and headers like '%onefold-outbox%'") === undefined,
  },
}
const unorderedEnd = [
  'attention dead-letter c3',
  'done c1: counted',
  'done c2: counted',
  'done c4: counted',
  'done count c1: summed',
  'done count c2: summed',
  'done count c4: summed',
]

function calling(whenUnknown: CallOptions<Payment, { id: string }>['whenUnknown']): App<SqliteTx> {
  const app = newApp()
  const rule = whenUnknown === undefined ? {} : { whenUnknown }
  const charge = call<Payment, { id: string }>(() => ({ id: 'nobody asks' }), { ...rule, when: ({ amount }) => amount > 0 })
  // A second one of the same message, which may end otherwise than the first.
  const ship = call<Payment, { id: string }>(() => ({ id: 'nobody asks' }), { ...rule, when: ({ amount }) => amount > 4 })
  app.consume(payments, {
    ...patient,
    group: 'shop',
    maxAttempts: 1_000,
    calls: { charge, ship },
    apply({ id, account }, { tx, publish, calls, attempt }) {
      mark(tx, account, `${id}:${calls.charge?.id ?? 'free'}${calls.ship === undefined ? '' : `+${calls.ship.id}`}`)
      publish(notes, { id: `booked ${id}`, key: account })
      if (id === 'o3' && attempt === 1) throw new Error('the first attempt after the call fails')
    },
  })
  return app
}

const callWorkload = [
  { topic: payments, data: { id: 'o1', account: 'a', amount: 5 } },
  { topic: payments, data: { id: 'o2', account: 'a', amount: 0 } },
  { topic: payments, data: { id: 'o3', account: 'b', amount: 2 } },
  { topic: payments, data: { id: 'o1', account: 'a', amount: 5 } },
]

const callEnd = ['done a: o1:charge-o1+ship-o1 o2:free', 'done b: o3:charge-o3']

const never = (): never => {
  throw new Error('the simulator plays the other side')
}

const withId: StandardSchemaV1<unknown, { id: string }> = {
  '~standard': {
    version: 1,
    vendor: 'subjects',
    validate: (value) => {
      const id = (value as { id?: unknown } | null)?.id
      return typeof id === 'string' ? { value: { id } } : { issues: [{ message: 'there is no id' }] }
    },
  },
}

/** Two groups with calls for the same messages; for one a refusal is a dead letter at once, the other deals with it. */
function refused(): App<SqliteTx> {
  const app = newApp()
  app.consume(payments, {
    ...patient,
    group: 'shop',
    maxAttempts: 1,
    calls: { charge: call<Payment, { id: string }>(never, { whenUnknown: 'ask-person', result: withId }) },
    apply: ({ id, account }, { tx, calls }) => mark(tx, `shop ${account}`, `${id}:${calls.charge.id}`),
  })
  app.consume(payments, {
    ...patient,
    group: 'gifts',
    maxAttempts: 1_000,
    calls: {
      charge: call<Payment, { id: string }>(never, { whenFailed: 'apply' }),
      card: call<Payment, { id: string }>(never, { whenUnknown: never }),
    },
    apply({ id, account }, { tx, calls: { charge, card } }) {
      mark(tx, `gifts ${account}`, `${id}:${charge.status === 'happened' ? charge.result?.id : 'not'}+${card.id}`)
    },
  })
  return app
}

const refusedWorkload = [
  { topic: payments, data: { id: 'o1', account: 'a', amount: 5 }, edited: { id: 'o1', account: 'a', amount: 6 } },
  { topic: payments, data: { id: 'o2', account: 'a', amount: -1 } },
  { topic: payments, data: { id: 'o3', account: 'b', amount: 2 }, edited: { id: 'o3', account: 'b', amount: 3 } },
]

const refusedEnd = [
  'attention dead-letter o2',
  'done gifts a: o1:charge-o1+card-o1 o2:not+card-o2',
  'done gifts b: o3:charge-o3+card-o3',
  'done shop a: o1:charge-o1',
  'done shop b: o3:charge-o3',
]

const refusals: Partial<ProveOptions> & { readonly alike: (line: string) => string } = {
  outside: {
    charge(data) {
      const { id, amount } = data as Payment
      if (amount < 0) throw new CallFailed('nothing can be charged', { terminal: true })
      return { id: `charge-${id}` }
    },
  },
  // A card that is declined in one schedule is not in another.
  alike: (line) => line.replaceAll(/(o[13]):not/g, '$1:charge-$1'),
}

const once = (name: string) => (data: unknown) => {
  const id = `${name}-${(data as Payment).id}`
  made.push(id)
  return { id }
}
/** The other side acts again for a token it knows; without faults nobody asks it to. */
const askedOnce: Partial<ProveOptions> = {
  honoursTokens: false,
  ...madeAnew,
  outside: { charge: once('charge'), ship: once('ship') },
  invariants: {
    'each call is made once': () => made.length === 3,
    'nobody had to be asked': (state) => state.get('select 1 from onefold_attention') === undefined,
  },
}

/** Repeats and probes find out by themselves. */
const neverAsked: Partial<ProveOptions> = {
  invariants: {
    'nobody is asked what became of a call': (state) =>
      state.get("select 1 from onefold_attention where kind = 'unknown-outcome'") === undefined,
  },
}

/** What is lost with a fault is not lost without one. */
const receivedOnce: Partial<ProveOptions> = {
  ...madeAnew,
  invariants: { 'each message is received once': () => made.toSorted().join(' ') === 't1 t2 t3 t4 t5 t6 t7' },
}

const atTheEnd = `select 'account ' || account || ': ' || balance || ', by ' || entries as line from account
  union all select 'done ' || name || ': ' || ids from done
  union all select 'refused ' || id from refused
  union all select 'attention ' || kind || ' ' || id from onefold_attention where state = 'open' order by line`

/**
 * `end`: what is there when all is quiet. The simulator compares with a run without faults, but that is one of the mutant's, and a
 * safeguard may be needed without any fault as well.
 */
function subject(
  name: string,
  make: () => App<SqliteTx>,
  workload: ProveOptions['workload'],
  end: readonly string[],
  { most, alike, ...rest }: Partial<ProveOptions> & { most?: number; alike?: (line: string) => string } = {},
): StandardSubject {
  const invariants: ProveOptions['invariants'] = {
    ...rest.invariants,
    'the end is right': (state) => {
      const lines = state.all<{ line: string }>(atTheEnd).map(({ line }) => alike?.(line) ?? line)
      return lines.join() === end.join() ? undefined : `There is: ${lines.join('; ')}.`
    },
  }
  return { name, make, options: { ...rest, workload, setup: tables, invariants }, ...(most === undefined ? {} : { most }) }
}

/** In the order of what finds most first. */
export const standardSubjects: readonly StandardSubject[] = [
  subject('ledger', ledger, ledgerWorkload, ledgerEnd),
  subject('failing, hold', () => failing('hold'), failingWorkload, failingEnd),
  subject('failing often, without faults', () => failing('hold', 23), oftenFailing, oftenEnd, { most: 1 }),
  subject('call, repeat', () => calling('repeat'), callWorkload, callEnd, neverAsked),
  subject('call, ask-person', () => calling('ask-person'), callWorkload, callEnd, { honoursTokens: false }),
  subject('call, probe', () => calling(never), callWorkload, callEnd, neverAsked),
  subject('call, without faults', () => calling('repeat'), callWorkload, callEnd, { ...askedOnce, most: 1 }),
  subject('call, refused', refused, refusedWorkload, refusedEnd, refusals),
  subject('batches', batches, batchWorkload, batchEnd),
  subject('ledger, log with duplicates', ledger, withoutReuse, ledgerEnd, { broker: 'log with duplicates' }),
  subject('unordered, queue', unordered, unorderedWorkload, unorderedEnd, { ...neverLate, broker: 'queue' }),
  subject('unordered, queue, without repeats', unordered, withoutRepeats, unorderedEnd, { ...neverLate, broker: 'queue' }),
  subject('receiving', () => receiving(tasks), failingWorkload, failingEnd.slice(0, 2), madeAnew),
  subject('receiving, at most once', () => receiving(tasks, 'at-most-once'), failingWorkload, [], madeAnew),
  subject('receiving, at most once, without faults', () => receiving(tasks, 'at-most-once'), failingWorkload, [], {
    ...receivedOnce,
    most: 1,
  }),
  subject('receiving, queue', () => receiving(clicks), unorderedWorkload, unorderedEnd.slice(0, 1), {
    ...madeAnew,
    broker: 'queue',
  }),
  subject(
    'failing, skip',
    () => failing('skip'),
    [refusedAtCommit, refusedAtPublish, ...failingWorkload],
    failingEnd.toSpliced(2, 0, 'attention dead-letter t8', 'attention dead-letter t9').toSpliced(6, 0, 'done c: t5'),
  ),
  subject('ledger, every commit', ledger, ledgerWorkload, ledgerEnd, { everyCommit: true }),
  subject('call, repeat, every commit', () => calling('repeat'), callWorkload, callEnd, { everyCommit: true }),
]
