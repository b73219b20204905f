import { describe, expect, test } from 'vitest'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import type { App } from '../../src/index.ts'
import { topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'
import { until } from '../support/until.ts'

interface Order {
  readonly id: string
  readonly act?: string
}

const tables = `
  create table effect (id text, value integer);
  create table taken (name text primary key);
  create table refused (name text);
  create trigger refuse before insert on refused begin select raise(rollback, 'refused by a trigger'); end;
  create table parent (id integer primary key);
  create table child (parent integer references parent deferrable initially deferred);
  insert into taken values ('x')`

const orders = topic<Order>('orders', { partitions: 1, id: (order) => order.id })
const echoes = topic<{ of: string }>('echoes', { partitions: 1, id: (echo) => echo.of })

/** Five orders in one batch and one commit; the third one does something to its transaction. */
async function runFive(
  act: (tx: SqliteTx, app: App<SqliteTx>) => unknown,
  options: { swallowed?: boolean; maxAttempts?: number; asynchronous?: boolean } = {},
) {
  const file = new TemporaryFile(tables)
  const app = file.app()
  const attempts: Record<string, number[]> = {}
  const attempted = (id: string, attempt: number): void => {
    attempts[id] = [...(attempts[id] ?? []), attempt]
  }
  const body = (order: Order, tx: SqliteTx): void => {
    tx.run('insert into effect values (?, 1)', order.id)
    if (order.act !== undefined) {
      try {
        act(tx, app)
      } catch (error) {
        if (options.swallowed !== true) throw error
        tx.run('insert into effect values (?, 2)', `${order.id} after`)
      }
    }
    tx.run('insert into effect values (?, 3)', `${order.id} end`)
  }
  app.consume(orders, {
    group: 'g',
    maxAttempts: options.maxAttempts ?? 1,
    apply:
      options.asynchronous === true
        ? async (order, { tx, publish, attempt }) => {
            attempted(order.id, attempt)
            publish(echoes, { of: order.id })
            await Promise.resolve()
            body(order, tx)
          }
        : (order, { tx, publish, attempt }) => {
            attempted(order.id, attempt)
            publish(echoes, { of: order.id })
            body(order, tx)
          },
  })
  await app.publishMany(
    orders,
    ['a', 'b', 'c', 'd', 'e'].map((id) => ({ data: id === 'c' ? { id, act: 'now' } : { id } })),
  )
  await app.start()
  await until(
    async () => (await app.attention.list()).length > 0,
    () => JSON.stringify(file.events.slice(0, 3)),
  )
  await app.idle()
  const heard = file.column("select id from onefold_message where topic = 'echoes' order by id")
  // Whatever was left behind, the partition's next offset must be free.
  await app.publish(echoes, { of: 'afterwards' })
  return { file, app, attempts, effects: file.effects(), heard, attention: await app.attention.list() }
}

const neighbours = ['a', 'a end', 'b', 'b end', 'd', 'd end', 'e', 'e end']

const endings: Record<string, (tx: SqliteTx) => unknown> = {
  '"insert or rollback" that conflicts': (tx) => tx.run("insert or rollback into taken values ('x')"),
  "a trigger's raise(rollback)": (tx) => tx.run("insert into refused values ('y')"),
}

describe.each(Object.entries(endings))('%s in a shared commit', (_name, act) => {
  test.each([false, true])(
    'costs its own message only; the others are applied once, at attempt 1 (async handler: %s)',
    async (asynchronous) => {
      const { effects, heard, attempts, attention } = await runFive(act, { asynchronous })
      expect([...effects].sort()).toEqual(neighbours)
      expect(heard).toEqual(['a', 'b', 'd', 'e'])
      expect(attention.map((item) => item.envelope.id)).toEqual(['c'])
      expect(attention[0]?.errorMessage).toMatch(/transaction ended.*(UNIQUE|refused by a trigger)/)
      for (const id of ['a', 'b', 'd', 'e']) expect(new Set(attempts[id])).toEqual(new Set([1]))
    },
  )

  test('and swallowed by the handler: what the handler writes and publishes afterwards is not written outside the transaction', async () => {
    const { effects, heard, attention } = await runFive(act, { swallowed: true })
    expect([...effects].sort()).toEqual(neighbours)
    expect(heard).toEqual(['a', 'b', 'd', 'e'])
    expect(attention.map((item) => item.envelope.id)).toEqual(['c'])
  })
})

test('a handler that swallows the end of its transaction and only publishes: nothing is published', async () => {
  const file = new TemporaryFile(tables)
  const app = file.app()
  app.consume(orders, {
    group: 'g',
    maxAttempts: 1,
    apply: (order, { tx, publish }) => {
      publish(echoes, { of: order.id })
      try {
        tx.run("insert or rollback into taken values ('x')")
      } catch {
        // The handler believes that it knows better.
      }
    },
  })
  await app.start()
  await app.publish(orders, { id: 'a' })
  await until(async () => (await app.attention.list()).length === 1, 'attention')
  expect(file.rows("select * from onefold_message where topic = 'echoes'")).toEqual([])
  expect((await app.publish(echoes, { of: 'other' })).status).toBe('accepted')
  expect((await app.publish(echoes, { of: 'a' })).status).toBe('accepted')
})

describe('transaction control through tx', () => {
  const words = [
    'commit',
    'COMMIT TRANSACTION',
    ' end',
    '/* x */ rollback',
    '-- y\nrollback to onefold',
    'begin',
    'savepoint s',
    'release onefold',
    ';commit',
  ]
  test.each(words)('%j is refused with TX_CONTROL, the message fails alone and its neighbours are applied', async (sql) => {
    const { effects, heard, attention } = await runFive((tx) => tx.run(sql))
    expect(effects).toEqual(neighbours)
    expect(heard).toEqual(['a', 'b', 'd', 'e'])
    expect(attention[0]?.errorMessage).toMatch(/must not begin, end or nest/)
  })

  test('the same words inside a text or as a column are nobody to be afraid of', async () => {
    const file = new TemporaryFile(`${tables}; create table "commit" (release text)`)
    const app = file.app()
    await app.transaction(({ tx }) => tx.run('insert into "commit" (release) values (\'rollback\')'))
    expect(file.column('select release from "commit"')).toEqual(['rollback'])
  })
})

test('a deferred foreign key that fails at COMMIT blames only the guilty message', async () => {
  const { effects, heard, attention, attempts } = await runFive((tx) => tx.run('insert into child values (7)'))
  expect([...effects].sort()).toEqual(neighbours)
  expect(heard).toEqual(['a', 'b', 'd', 'e'])
  expect(attention.map((item) => [item.envelope.id, item.errorMessage.includes('FOREIGN KEY')])).toEqual([['c', true]])
  for (const id of ['a', 'b', 'd', 'e']) expect(new Set(attempts[id])).toEqual(new Set([1]))
})

test('a message whose COMMIT is refused is attempted again later, up to maxAttempts, and applied once the reason is gone', async () => {
  const file = new TemporaryFile(tables)
  const app = file.app()
  const attempts: number[] = []
  app.consume(orders, {
    group: 'g',
    backoffMs: 1,
    maxAttempts: 50,
    apply: (order, { tx, attempt }) => {
      attempts.push(attempt)
      tx.run('insert into effect values (?, 1)', order.id)
      tx.run('insert into child values (7)')
    },
  })
  await app.publish(orders, { id: 'a' })
  await app.start()
  await until(() => attempts.length > 4, 'attempts')
  file.exec('insert into parent values (7)')
  await app.idle()
  expect(file.effects()).toEqual(['a'])
  expect(attempts.slice(2)).toEqual(attempts.slice(2).toSorted((a, b) => a - b))
})

test('publishes that share the commit with a transaction ended by user SQL are accepted once', async () => {
  const file = new TemporaryFile(tables)
  const app = file.app()
  const broken = app.transaction(({ tx }) => tx.run("insert or rollback into taken values ('x')"))
  const receipts = await Promise.all([
    ...Array.from({ length: 20 }, (_, number) => app.publish(orders, { id: `p${number}` })),
    expect(broken).rejects.toThrow(/transaction ended/),
  ])
  expect(receipts.slice(0, 20).map((receipt) => receipt?.status)).toEqual(Array(20).fill('accepted'))
  expect(file.column('select count(*) from onefold_log')).toEqual([20])
})

test('partitions that share a commit: the one whose message ends it costs the others nothing', async () => {
  const file = new TemporaryFile(tables)
  const app = file.app()
  const wide = topic<Order>('orders', { partitions: 8, id: (order) => order.id, key: (order) => order.id })
  app.consume(wide, {
    group: 'g',
    maxAttempts: 1,
    apply: (order, { tx, publish }) => {
      tx.run('insert into effect values (?, 1)', order.id)
      publish(echoes, { of: order.id })
      if (order.act !== undefined) tx.run("insert or rollback into taken values ('x')")
    },
  })
  await app.start()
  for (let round = 0; round < 5; round++) {
    const data = Array.from({ length: 40 }, (_, number) => ({
      id: `${round}-${number}`,
      ...(number === 20 ? { act: 'now' } : {}),
    }))
    await app.publishMany(
      wide,
      data.map((each) => ({ data: each })),
    )
    await app.idle()
  }
  const guilty = Array.from({ length: 5 }, (_, round) => `${round}-20`)
  expect((await app.attention.list()).map((item) => item.envelope.id).toSorted()).toEqual(guilty)
  const effects = file.effects()
  expect(effects).toHaveLength(5 * 39)
  expect(new Set(effects).size).toBe(5 * 39)
  expect(file.column("select id from onefold_message where topic = 'echoes' order by id")).toEqual(effects.toSorted())
})

test('applyBatch whose SQL ends the transaction: one by one, the guilty alone is blamed', async () => {
  const file = new TemporaryFile(
    "create table effect (id text, value integer); create table taken (n text primary key); insert into taken values ('x')",
  )
  const app = file.app()
  const steps = topic<{ id: string }>('steps', { partitions: 1, id: (step) => step.id })
  app.consume(steps, {
    group: 'g',
    maxAttempts: 1,
    applyBatch: (items, { tx }) => {
      for (const item of items) {
        tx.run('insert into effect values (?, 1)', item.data.id)
        if (item.data.id === 'b1') tx.run("insert or rollback into taken values ('x')")
      }
    },
  })
  await app.publishMany(
    steps,
    ['a1', 'b1', 'c1'].map((id) => ({ data: { id } })),
  )
  await app.start()
  await app.idle()
  expect(file.effects()).toEqual(['a1', 'c1'])
  expect((await app.attention.list()).map((each) => each.envelope.id)).toEqual(['b1'])
})
