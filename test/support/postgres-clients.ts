/** What must hold for every client that decides `tx`; each is tested with its own library in test/database/postgres/adapters/. */
import { Pool } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { isOutsideTransaction, sqlState } from '../../src/database/postgres/errors.ts'
import type { Transactions } from '../../src/database/postgres/index.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Runtime } from '../../src/runtime.ts'
import type { TemporaryPostgres } from './postgres.ts'
import { makeDatabase, temporaryPostgres } from './postgres.ts'
import { stopAfterwards } from './temporary.ts'
import { rejection, until } from './until.ts'

/** A library's handle on the test's database, and its own way to write there. */
export interface Client<Tx> {
  readonly transactions: Transactions<Tx>
  /** What a user holds beside a transaction, and what might be taken for one. */
  readonly besides: readonly unknown[]
  /** `insert into account`, with what the library offers for it. */
  insert(tx: Tx, id: string): Promise<unknown>
  /** `insert into child`: its parent need not be there before COMMIT. */
  insertChild(tx: Tx, id: string, parent: string): Promise<unknown>
  /** The same insert, begun the way a user does who forgets `await`. */
  forget(tx: Tx, id: string): unknown
  ids(tx: Tx): Promise<string[]>
  /** A transaction that the user's own code opens. */
  own<R>(work: (tx: Tx) => Promise<R>): Promise<R>
  /** SQL of the user's own that ends the transaction. */
  end(tx: Tx): Promise<unknown>
  close(): Promise<void>
}

/** Each app makes a database and its tables: a second on a machine that has nothing else to do. */
const timeout = 30_000

/** Lets the compiler find `Tx` before it reads the rest. */
export function clientOf<Tx>(transactions: Transactions<Tx>, rest: Omit<Client<NoInfer<Tx>>, 'transactions'>): Client<Tx> {
  return { transactions, ...rest }
}

export interface ClientOptions<Tx> {
  open(database: TemporaryPostgres): Client<Tx> | Promise<Client<Tx>>
  /** What becomes of a query that was begun and not awaited: it never runs, or it runs with its transaction. */
  readonly forgotten: 'never-runs' | 'runs'
  /** The library's own way to commit, where `tx` has one. */
  commit?(tx: NoInfer<Tx>): Promise<unknown>
}

export const clientTables = `
  create table account (id text primary key, balance integer);
  create table child (id text primary key, parent text references account deferrable initially deferred)`

interface Note {
  readonly id: string
  readonly act?: 'throw' | 'fail' | 'caught' | 'orphan'
}

const notes = topic<Note>('notes', { partitions: 1, id: (note) => note.id, key: (note) => note.id })
const echoes = topic<{ of: string }>('echoes', { id: (echo) => echo.of })

interface Opened<Tx> extends Client<Tx> {
  readonly database: TemporaryPostgres
  effects(): Promise<string[]>
}

async function openOn<Tx>(database: TemporaryPostgres, { open }: ClientOptions<Tx>): Promise<Opened<Tx>> {
  await database.pool.query(clientTables)
  const effects = async (): Promise<string[]> => column(database, 'select id from account order by id')
  return { ...(await open(database)), database, effects }
}

/** The only column of the rows, as they are committed. */
async function column(database: TemporaryPostgres, text: string): Promise<string[]> {
  return (await database.pool.query({ text, rowMode: 'array' })).rows.map(([value]) => value)
}

export function describeClient<Tx>(name: string, options: ClientOptions<Tx>): void {
  describe(`statements of Onefold's in a transaction of ${name}`, { timeout }, () => statementTests(options))
  describe(`an app whose tx is ${name}'s`, { timeout }, () => appTests(options))
}

function statementTests<Tx>(options: ClientOptions<Tx>): void {
  let at: Opened<Tx>
  let drop: () => Promise<void>
  beforeAll(async () => {
    const database = await makeDatabase()
    drop = () => database.drop()
    at = await openOn(database, options)
  })
  beforeEach(async () => void (await at.database.pool.query('truncate account, child')))
  afterAll(async () => {
    await at.close()
    await drop()
  })

  test('run in that very transaction: they are committed with it, and gone with it', async () => {
    const { transactions, insert } = at
    const text = 'insert into account values ($1::text, $2::integer) returning id, balance, null as nothing'
    const rows = await transactions.run(async (tx) => {
      await insert(tx, 'theirs')
      return transactions.execute(tx)(text, ['ours', 1])
    })
    expect(rows).toEqual([{ id: 'ours', balance: 1, nothing: null }])
    const why = new Error('undo')
    const undone = transactions.run(async (tx) => {
      await transactions.execute(tx)(text, ['undone', 1])
      await insert(tx, 'undone too')
      throw why
    })
    expect(await rejection(undone)).toBe(why)
    expect(await at.effects()).toEqual(['ours', 'theirs'])
  })

  test('take text, numbers, booleans and null, and give rows under the names that the statement says', async () => {
    const { transactions } = at
    const texts = ['', "it's", '$1 ? :name ?? \\? \\', '{"a":[1]}', 'naïve 𝄞', '2026-01-01', '12']
    await transactions.run(async (tx) => {
      const execute = transactions.execute(tx)
      const [row] = await execute(
        `select $1::bigint::text as the_number, $2::boolean as "camelCase", $3::text as nothing, $4::integer as count,
          $5::double precision as half, '?' || $3::text is null as is_null, 'a?b $1 \\' as literal`,
        [1_732_215_233_123, true, null, 2_000_000_000, 0.5],
      )
      expect(row).toEqual({
        the_number: '1732215233123',
        camelCase: true,
        nothing: null,
        count: 2_000_000_000,
        half: 0.5,
        is_null: true,
        literal: 'a?b $1 \\',
      })
      for (const text of texts) expect(await execute('select $1::text as it', [text])).toEqual([{ it: text }])
      const many = await execute('select r.a, r.n from json_to_recordset($1::text::json) as r (a text, n bigint)', [
        JSON.stringify(texts.map((a, n) => ({ a, n }))),
      ])
      expect(many.map(({ a, n }) => [a, Number(n)])).toEqual(texts.map((a, n) => [a, n]))
    })
  })

  test('give the rows of an update, a delete and a data-modifying WITH, and none where there are none', async () => {
    const { transactions, insert } = at
    await transactions.run(async (tx) => {
      const execute = transactions.execute(tx)
      await insert(tx, 'a')
      expect(await execute('update account set balance = 7 where id = $1::text returning balance', ['a'])).toEqual([
        { balance: 7 },
      ])
      expect(await execute('update account set balance = 8')).toEqual([])
      expect(await execute('with gone as (delete from account returning id) select id from gone')).toEqual([{ id: 'a' }])
      await insert(tx, 'b')
      expect(await execute('delete from account returning id')).toEqual([{ id: 'b' }])
      expect(await execute('delete from account')).toEqual([])
    })
  })

  test('make savepoints, and undo what the library wrote after one', async () => {
    const { transactions, insert } = at
    await transactions.run(async (tx) => {
      const execute = transactions.execute(tx)
      await insert(tx, 'before')
      await execute('savepoint onefold')
      await insert(tx, 'undone')
      await execute('rollback to savepoint onefold')
      await execute('release savepoint onefold')
      await insert(tx, 'after')
    })
    expect(await at.effects()).toEqual(['after', 'before'])
  })

  test('keep their order among themselves and before what the handler does next, though nobody waits for them', async () => {
    const { transactions, insert, ids } = at
    const found = await transactions.run(async (tx) => {
      const execute = transactions.execute(tx)
      for (let round = 0; round < 20; round++) {
        const savepoint = execute('savepoint onefold')
        await insert(tx, `r${round}`)
        const back = execute('rollback to savepoint onefold')
        const release = execute('release savepoint onefold')
        await Promise.all([savepoint, back, release])
      }
      return ids(tx)
    })
    expect(found).toEqual([])
  })

  test('fail with what the server says, and leave the transaction to be rolled back', async () => {
    const { transactions, insert } = at
    const error = await rejection(
      transactions.run(async (tx) => {
        await insert(tx, 'a')
        await transactions.execute(tx)('insert into account values ($1::text)', ['a'])
      }),
    )
    expect(sqlState(error)).toBe('23505')
    expect(await at.effects()).toEqual([])
  })

  test('are refused once SQL of the user has ended the transaction', async () => {
    const { transactions, end, insert } = at
    const error = await rejection(
      transactions.run(async (tx) => {
        await insert(tx, 'a')
        await end(tx)
        await transactions.execute(tx)('savepoint onefold')
      }),
    )
    expect(isOutsideTransaction(error)).toBe(true)
  })

  test('only its own transactions are recognised', async () => {
    const { transactions, besides, own } = at
    for (const value of [...besides, undefined, null, 'tx', 1, {}, [], () => undefined, Promise.resolve()])
      expect(transactions.recognises(value)).toBe(false)
    expect(await transactions.run(async (tx) => transactions.recognises(tx))).toBe(true)
    expect(await own(async (tx) => transactions.recognises(tx))).toBe(true)
  })

  test('are at READ COMMITTED, whatever the default of the database is', async () => {
    const database = await temporaryPostgres()
    const [own] = await column(database, 'select current_database()')
    await database.pool.query(`alter database ${own} set default_transaction_isolation = 'repeatable read'`)
    const { transactions, close } = await options.open({ ...database, pool: newPool(database.url) })
    onTestFinished(close)
    const answer = await transactions.run((tx) => transactions.execute(tx)('show transaction_isolation'))
    expect(answer).toEqual([{ transaction_isolation: 'read committed' }])
  })
}

function newPool(connectionString: string): Pool {
  const pool = new Pool({ connectionString })
  onTestFinished(() => pool.end())
  return pool
}

function appTests<Tx>(options: ClientOptions<Tx>): void {
  const scene = async (runtime: Runtime = nodeRuntime()) => {
    const at = await openOn(await temporaryPostgres(), options)
    onTestFinished(() => at.close())
    const database = postgres(at.database.pool, { transactions: at.transactions, migrations: 'apply' })
    const app = stopAfterwards(onefold({ database, runtime }))
    /** Ids of the echoes, as they entered. */
    const published = (): Promise<string[]> =>
      column(
        at.database,
        `select l.id from onefold.log l join onefold.partition p on p.partition = l.partition
          join onefold.topic t on t.topic = p.topic where t.name = 'echoes' order by l.message`,
      )
    return { ...at, app, published }
  }
  const consuming = async () => {
    const at = await scene()
    at.app.consume(notes, {
      group: 'g',
      maxAttempts: 2,
      backoffMs: 1,
      async apply(note, { tx, publish }) {
        await at.insert(tx, note.id)
        publish(echoes, { of: note.id })
        if (note.act === 'throw') throw new Error('thrown by the handler')
        if (note.act === 'fail') await at.transactions.execute(tx)('select 1 / 0')
        if (note.act === 'caught') await at.insert(tx, note.id).catch(() => undefined)
        if (note.act === 'orphan') await at.insertChild(tx, note.id, 'nobody')
      },
    })
    return at
  }

  test('a message published twice has its effect once, and what its handler published is sent once', async () => {
    const { app, effects, published } = await consuming()
    expect(await app.publish(notes, { id: 'a' })).toMatchObject({ status: 'accepted' })
    expect(await app.publish(notes, { id: 'a' })).toMatchObject({ status: 'duplicate' })
    await app.start()
    await app.publish(notes, { id: 'b' })
    await app.publish(notes, { id: 'a' })
    await app.idle()
    expect(await effects()).toEqual(['a', 'b'])
    expect(await published()).toEqual(['a', 'b'])
  })

  test('a throwing handler, a statement that fails, one whose error was caught, and a constraint that refuses COMMIT leave nothing behind', async () => {
    const { app, effects, published } = await consuming()
    const acts: Record<string, Note['act']> = { c: 'throw', d: 'fail', e: 'caught', g: 'orphan' }
    await app.publishMany(
      notes,
      [...'abcdefgh'].map((id) => ({ data: acts[id] === undefined ? { id } : { id, act: acts[id] } })),
    )
    await app.start()
    await until(async () => (await app.attention.list()).length >= 4, 'four messages wait for a person', 15_000)
    await app.idle()
    const found = (await app.attention.list()).map((item) => [item.envelope.id, item.attempts, item.errorStack])
    expect(found.sort()).toEqual([
      ['c', 2, expect.stringContaining('thrown by the handler')],
      ['d', 2, expect.stringContaining('division by zero')],
      ['e', 2, expect.stringMatching(/duplicate key|current transaction is aborted/)],
      ['g', 2, expect.stringContaining('violates foreign key')],
    ])
    expect(await effects()).toEqual(['a', 'b', 'f', 'h'])
    expect((await published()).sort()).toEqual(['a', 'b', 'f', 'h'])
  })

  const ways = ['SQL', 'SQL, and its error is caught', ...(options.commit === undefined ? [] : ['a method of the library'])]
  test.each(ways)(
    'a handler that commits by %s: it alone waits for a person, what shares its commit is applied once',
    async (by) => {
      const { app, insert, end, effects, published } = await scene()
      const ids = Array.from({ length: 40 }, (_, n) => `n${String(n).padStart(2, '0')}`)
      const culprit = 'n30'
      app.consume(notes, {
        group: 'g',
        maxAttempts: 2,
        backoffMs: 1,
        async apply({ id }, { tx, publish }) {
          // Its key tells of a neighbour that is applied again.
          await insert(tx, id)
          publish(echoes, { of: id })
          if (id !== culprit) return
          const committed = by === 'a method of the library' ? options.commit?.(tx) : end(tx)
          await (by === 'SQL, and its error is caught' ? Promise.resolve(committed).catch(() => undefined) : committed)
        },
      })
      await app.publishMany(
        notes,
        ids.map((id) => ({ data: { id } })),
      )
      await app.start()
      await until(async () => (await app.attention.list()).length > 0, 'the one that commits waits for a person', 15_000)
      await app.idle()
      const found = (await app.attention.list()).map((item) => [item.envelope.id, item.attempts, item.errorStack])
      expect(found).toEqual([[culprit, 2, expect.stringContaining('the transaction ended')]])
      const others = ids.filter((id) => id !== culprit)
      expect(await effects()).toEqual(others)
      expect((await published()).sort()).toEqual(others)
    },
  )

  test('app.transaction whose work commits by SQL fails, and nothing of it is written', async () => {
    const { app, insert, end, effects, published } = await scene()
    for (const caught of [false, true]) {
      const ended = app.transaction(async ({ tx, publish }) => {
        await insert(tx, 'a')
        publish(echoes, { of: 'a' })
        const committed = Promise.resolve(end(tx))
        await (caught ? committed.catch(() => undefined) : committed)
      })
      const error = await rejection(ended)
      if (caught) expect(error).toMatchObject({ code: 'TRANSACTION_ENDED', outcome: 'not-applied' })
      else expect(sqlState(error)).toBe('2D000')
    }
    expect(await effects()).toEqual([])
    expect(await published()).toEqual([])
  })

  test('a transaction of the user that messages joined is committed by the user, by whatever means', async () => {
    const at = await scene()
    await at
      .own(async (tx) => {
        await at.insert(tx, 'a')
        await at.app.publish(echoes, { of: 'a' }, { tx })
        await at.end(tx)
      })
      .catch(() => undefined)
    expect(await at.effects()).toEqual(['a'])
    expect(await at.published()).toEqual(['a'])
  })

  test('publishing in a transaction of the user: sent if it commits, and only then', async () => {
    const at = await scene()
    const receipt = await at.own(async (tx) => {
      await at.insert(tx, 'kept')
      return at.app.publish(echoes, { of: 'kept' }, { tx })
    })
    expect(receipt).toMatchObject({ status: 'staged' })
    const undone = at.own(async (tx) => {
      await at.insert(tx, 'undone')
      await at.app.publish(echoes, { of: 'undone' }, { tx })
      throw new Error('rolled back')
    })
    expect(await rejection(undone)).toMatchObject({ message: 'rolled back' })
    expect(await at.effects()).toEqual(['kept'])
    expect(await at.published()).toEqual(['kept'])
  })

  test('what stands beside a transaction is refused, with the fix', async () => {
    const { app, besides, published } = await scene()
    for (const beside of besides) {
      const error = await rejection(app.publish(echoes, { of: 'a' }, { tx: beside as Tx }))
      expect(error).toMatchObject({ code: 'TX_FOREIGN', outcome: 'not-applied' })
      expect(error.message).toContain('pass the tx')
    }
    expect(await published()).toEqual([])
  })

  test('app.transaction: a result, or nothing at all', async () => {
    const { app, insert, insertChild, effects, published } = await scene()
    const writing = (id: string, then: (tx: Tx) => unknown) =>
      app.transaction(async ({ tx, publish }) => {
        await insert(tx, id)
        publish(echoes, { of: id })
        return then(tx)
      })
    const why = new Error('no')
    expect(await writing('kept', () => 'done')).toBe('done')
    expect(await rejection(writing('thrown', () => Promise.reject(why)))).toBe(why)
    expect(await rejection(writing('caught', (tx) => insert(tx, 'caught').catch(() => undefined)))).toMatchObject({
      code: 'TRANSACTION_ENDED',
    })
    expect(await rejection(writing('orphan', (tx) => insertChild(tx, 'orphan', 'nobody')))).toMatchObject({
      code: 'COMMIT_REFUSED',
    })
    expect(await effects()).toEqual(['kept'])
    expect(await published()).toEqual(['kept'])
  })

  test('what a handler left behind fails between the last look at its transaction and COMMIT: that is no success', async () => {
    let late: (() => Promise<unknown>) | undefined
    const reached = async (point: string): Promise<void> => {
      if (point === 'commit:before') await late?.()
    }
    const { app, insert, effects } = await scene({ ...nodeRuntime(), reached })
    const ended = app.transaction(async ({ tx }) => {
      await insert(tx, 'a')
      late = () => insert(tx, 'a').catch(() => undefined)
    })
    expect((await rejection(ended)).code).toMatch(/^(TRANSACTION_ENDED|COMMIT_REFUSED)$/)
    expect(await effects()).toEqual([])
  })

  test(`an insert that nobody awaits ${options.forgotten === 'runs' ? 'runs, as long as the transaction is there' : 'never runs, and nothing tells of it'}`, async () => {
    const { app, forget, insert, effects } = await scene()
    await app.transaction(async ({ tx }) => {
      forget(tx, 'forgotten')
      await insert(tx, 'awaited')
    })
    expect(await effects()).toEqual(options.forgotten === 'runs' ? ['awaited', 'forgotten'] : ['awaited'])
  })
}
