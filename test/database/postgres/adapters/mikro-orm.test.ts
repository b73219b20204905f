import type { EntityManager } from '@mikro-orm/postgresql'
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql'
import { Pool } from 'pg'
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest'
import { isConflict, isConnectionLost, sqlState } from '../../../../src/database/postgres/errors.ts'
import { fromMikroOrm, postgres } from '../../../../src/database/postgres/index.ts'
import type { App } from '../../../../src/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { temporaryPostgres } from '../../../support/postgres.ts'
import { clientOf, clientTables, describeClient } from '../../../support/postgres-clients.ts'
import { stopAfterwards } from '../../../support/temporary.ts'
import { rejection, sleep, until } from '../../../support/until.ts'

const Account = defineEntity({ name: 'account', properties: { id: p.text().primary(), balance: p.integer().nullable() } })
const Child = defineEntity({ name: 'child', properties: { id: p.text().primary(), parent: p.text().nullable() } })

const open = (clientUrl: string, max = 4): Promise<MikroORM> =>
  MikroORM.init({ clientUrl, entities: [Account, Child], pool: { max }, logger: () => undefined })

describeClient('MikroORM', {
  forgotten: 'runs',
  async open({ pool, url }) {
    const orm = await open(url)
    return clientOf(fromMikroOrm(orm), {
      besides: [orm.em, orm.em.fork(), orm, pool],
      insert: (tx, id) => tx.insert(Account, { id, balance: 1 }),
      insertChild: (tx, id, parent) => tx.insert(Child, { id, parent }),
      forget: (tx, id) => void tx.insert(Account, { id, balance: 1 }),
      ids: async (tx) => (await tx.fork({ keepTransactionContext: true }).find(Account, {})).map(({ id }) => id),
      own: (work) => orm.em.fork().transactional(work),
      end: (tx) => tx.execute('commit'),
      close: () => orm.close(),
    })
  },
  commit: (tx) => tx.commit(),
})

describe('fromMikroOrm', { timeout: 30_000 }, () => {
  const notes = topic<{ id: string }>('notes', { partitions: 1, id: (note) => note.id, key: (note) => note.id })
  const echoes = topic<{ of: string }>('echoes', { id: (echo) => echo.of })

  const scene = async () => {
    const { pool, url } = await temporaryPostgres()
    await pool.query(clientTables)
    const orm = await open(url, 3)
    onTestFinished(() => orm.close())
    const database = postgres(pool, { transactions: fromMikroOrm(orm), migrations: 'apply' })
    const app = stopAfterwards(onefold({ database }))
    const publishAll = (ids: readonly string[]) =>
      app.publishMany(
        notes,
        ids.map((id) => ({ data: { id } })),
      )
    const column = async (text: string): Promise<string[]> =>
      (await pool.query({ text, rowMode: 'array' })).rows.map(([value]) => value)
    const accounts = () => column('select id from account order by id')
    const published = () => column("select id from onefold.message where topic = 'echoes' order by id")
    return { pool, orm, app, publishAll, accounts, published }
  }
  const waiting = (app: App<unknown>, count: number) =>
    until(async () => (await app.attention.list()).length >= count, `${count} messages wait for a person`, 15_000)

  const ids = Array.from({ length: 40 }, (_, n) => `n${String(n).padStart(2, '0')}`)

  test('what handlers of a batch have not flushed is written for each by itself: one that cannot be written waits alone', async () => {
    const { pool, app, publishAll, accounts, published } = await scene()
    await pool.query("insert into account values ('n30', 0)")
    const heldOver: string[] = []
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      apply({ id }, { tx, publish }) {
        for (const entity of tx.getUnitOfWork().getIdentityMap().values()) heldOver.push(JSON.stringify(entity))
        tx.persist(tx.create(Account, { id, balance: 1 }))
        publish(echoes, { of: id })
      },
    })
    await publishAll(ids)
    await app.start()
    await waiting(app, 1)
    await app.idle()
    expect(await app.attention.list()).toMatchObject([
      { envelope: { id: 'n30' }, errorMessage: expect.stringContaining('duplicate key') },
    ])
    expect(await accounts()).toEqual(ids)
    expect((await pool.query("select balance from account where id = 'n30'")).rows).toEqual([{ balance: 0 }])
    expect(await published()).toEqual(ids.filter((id) => id !== 'n30'))
    expect(heldOver).toEqual([])
  })

  test('what a failed handler has changed is written with no other message, and an entity it read is read again', async () => {
    const { pool, app, publishAll, accounts } = await scene()
    await pool.query("insert into account values ('shared', 0)")
    const balances: unknown[] = []
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      async apply({ id }, { tx }) {
        const shared = await tx.findOneOrFail(Account, 'shared')
        balances.push(shared.balance)
        shared.balance = (shared.balance ?? 0) + 1
        tx.persist(tx.create(Account, { id, balance: 1 }))
        if (id === 'b') throw new Error('after changing much')
      },
    })
    await publishAll(['a', 'b', 'c'])
    await app.start()
    await waiting(app, 1)
    await app.idle()
    expect(await accounts()).toEqual(['a', 'c', 'shared'])
    expect((await pool.query("select balance from account where id = 'shared'")).rows).toEqual([{ balance: 2 }])
    expect(balances.slice(-3)).toEqual([0, 1, 1])
  })

  test('a flush that nobody awaits is over before the message is', async () => {
    const { app, publishAll, accounts } = await scene()
    app.consume(notes, 'g', ({ id }, { tx }) => {
      tx.persist(tx.create(Account, { id }))
      void tx.flush()
    })
    await publishAll(ids)
    await app.start()
    await app.idle()
    expect(await accounts()).toEqual(ids)
  })

  test('the EntityManager of the app, and repositories of it, are bound to the transaction inside a handler', async () => {
    const { orm, app, publishAll, accounts } = await scene()
    const repository = orm.em.getRepository(Account)
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      apply({ id }, { tx }) {
        expect(orm.em.getTransactionContext()).toBe(tx.getTransactionContext())
        repository.create({ id })
        orm.em.persist(orm.em.create(Account, { id: `${id}.em` }))
        if (id === 'b') throw new Error('undone')
      },
    })
    await publishAll(['a', 'b', 'c'])
    await app.start()
    await waiting(app, 1)
    await app.idle()
    expect(await accounts()).toEqual(['a', 'a.em', 'c', 'c.em'])
  })

  test('app.transaction: what was not flushed is written, and what cannot be written is its failure', async () => {
    const { pool, app, accounts, published } = await scene()
    const writing = (id: string) =>
      app.transaction(async ({ tx, publish }) => {
        tx.persist(tx.create(Account, { id }))
        publish(echoes, { of: id })
        return id
      })
    expect(await writing('a')).toBe('a')
    await pool.query("insert into account values ('b')")
    expect(sqlState(await rejection(writing('b')))).toBe('23505')
    expect(await accounts()).toEqual(['a', 'b'])
    expect(await published()).toEqual(['a'])
  })

  test('a savepoint of its own (tx.transactional) may fail, and the message goes on', async () => {
    const { app, publishAll, accounts } = await scene()
    app.consume(notes, 'g', async ({ id }, { tx }) => {
      tx.persist(tx.create(Account, { id }))
      const failing = tx.transactional(async (inner) => {
        await inner.insert(Account, { id: `${id}.inner` })
        throw new Error('inside')
      })
      expect((await rejection(failing)).message).toBe('inside')
    })
    await publishAll(['a', 'b'])
    await app.start()
    await app.idle()
    expect(await accounts()).toEqual(['a', 'b'])
  })

  test('a handler that ends the transaction by tx.rollback() has failed, and its changes are not written beside it', async () => {
    const { app, publishAll, accounts } = await scene()
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      async apply({ id }, { tx }) {
        if (id === 'b') await tx.rollback()
        tx.persist(tx.create(Account, { id }))
      },
    })
    await publishAll(['a', 'b', 'c'])
    await app.start()
    await waiting(app, 1)
    await app.idle()
    expect(await app.attention.list()).toMatchObject([{ errorMessage: expect.stringContaining('the transaction ended') }])
    expect(await accounts()).toEqual(['a', 'c'])
  })

  test('connections lost in the middle, or at COMMIT, are given back: more than the pool has, and work goes on', async () => {
    const { pool, orm, accounts } = await scene()
    const { run, execute } = fromMikroOrm(orm)
    const losing = (statement: string) =>
      run(async (tx) => {
        const [row] = await execute(tx)('select pg_backend_pid() as pid')
        await pool.query('select pg_terminate_backend($1)', [row?.pid])
        await execute(tx)(statement)
      })
    for (let round = 0; round < 5; round++) expect(isConnectionLost(await rejection(losing('select 1')))).toBe(true)
    await pool.query(`
      create function lose() returns trigger language plpgsql as $$
      begin
        perform pg_terminate_backend(pg_backend_pid());
        return null;
      end
      $$;
      create constraint trigger lose after insert on child deferrable initially deferred for each row execute function lose()`)
    for (let round = 0; round < 5; round++)
      expect(isConnectionLost(await rejection(run((tx) => tx.insert(Child, { id: 'c', parent: null }))))).toBe(true)
    await run((tx) => tx.insert(Account, { id: 'after' }))
    expect(await accounts()).toEqual(['after'])
  })

  test('what the server said is found in its errors: conflicts and constraints', async () => {
    const { orm } = await scene()
    await orm.em.fork().insertMany(Account, [{ id: 'a' }, { id: 'b' }])
    expect(sqlState(await rejection(orm.em.fork().insert(Account, { id: 'a' })))).toBe('23505')
    let met = 0
    const crossing = (first: string, second: string) =>
      orm.em.fork().transactional(async (tx) => {
        await tx.nativeUpdate(Account, { id: first }, { balance: 1 })
        met++
        while (met < 2) await sleep(3)
        await tx.nativeUpdate(Account, { id: second }, { balance: 1 })
      })
    const ends = await Promise.allSettled([crossing('a', 'b'), crossing('b', 'a')])
    const [deadlock, ...more] = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
    expect(more).toEqual([])
    expect(isConflict(deadlock)).toBe(true)
  })

  test('an instance that begins no transactions is refused, with the option to remove', async () => {
    const { pool, url } = await temporaryPostgres()
    const orm = await MikroORM.init({ clientUrl: url, entities: [Account], disableTransactions: true })
    onTestFinished(() => orm.close())
    const app = stopAfterwards(onefold({ database: postgres(pool, { transactions: fromMikroOrm(orm), migrations: 'apply' }) }))
    const error = await rejection(app.transaction(() => undefined))
    expect(error).toMatchObject({ code: 'DATABASE_UNSUITABLE', message: expect.stringContaining('disableTransactions') })
  })

  test("tx is MikroORM's EntityManager, and a pool does not compile", () => {
    const orm = new MikroORM({ dbName: 'none', entities: [Account] })
    const app = onefold({ database: postgres(new Pool(), { transactions: fromMikroOrm(orm) }) })
    expectTypeOf<TxOf<typeof app>>().not.toBeAny()
    app.consume(notes, 'g', (note, { tx }) => {
      expectTypeOf(tx).toExtend<EntityManager>()
      tx.create(Account, { id: note.id })
      // @ts-expect-error the column is an integer
      tx.create(Account, { id: note.id, balance: 'x' })
    })
    // @ts-expect-error not a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: new Pool() }))
  })

  test('takes an instance and nothing else', () => {
    const taken = (value: unknown) => () => fromMikroOrm(value as MikroORM)
    for (const value of [undefined, null, {}, new Pool()])
      expect(taken(value)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})

type TxOf<A> = A extends App<infer Tx> ? Tx : never
