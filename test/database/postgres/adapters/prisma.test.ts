/**
 * The client in test/support/prisma/generated was made from the schema beside it, without its parts for browsers, by
 *   PRISMA_SCHEMA_ENGINE_BINARY=/bin/true npx prisma@7.10.0 generate --schema test/support/prisma/schema.prisma
 * (the variable keeps it from downloading a program that generating does not need), and formatted.
 */
import { PrismaPg } from '@prisma/adapter-pg'
import { Pool } from 'pg'
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest'
import { isConflict, isConnectionLost, sqlState } from '../../../../src/database/postgres/errors.ts'
import { fromPrisma, postgres } from '../../../../src/database/postgres/index.ts'
import type { App } from '../../../../src/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { temporaryPostgres } from '../../../support/postgres.ts'
import { clientOf, clientTables, describeClient } from '../../../support/postgres-clients.ts'
import type { Prisma } from '../../../support/prisma/generated/client.ts'
import { PrismaClient } from '../../../support/prisma/generated/client.ts'
import { stopAfterwards } from '../../../support/temporary.ts'
import { rejection, sleep, until } from '../../../support/until.ts'

const open = (connectionString: string, max = 4): PrismaClient =>
  new PrismaClient({ adapter: new PrismaPg({ connectionString, max }) })

describeClient('Prisma', {
  forgotten: 'never-runs',
  open({ pool, url }) {
    const prisma = open(url)
    return clientOf(fromPrisma(prisma), {
      besides: [prisma, pool],
      insert: (tx, id) => tx.account.create({ data: { id, balance: 1 } }),
      insertChild: (tx, id, parent) => tx.$executeRaw`insert into child values (${id}, ${parent})`,
      forget: (tx, id) => tx.account.create({ data: { id, balance: 1 } }),
      ids: async (tx) => (await tx.account.findMany()).map(({ id }) => id),
      own: (work) => prisma.$transaction(work),
      end: (tx) => tx.$executeRawUnsafe('commit'),
      close: () => prisma.$disconnect(),
    })
  },
})

describe('fromPrisma', { timeout: 30_000 }, () => {
  const notes = topic<{ id: string }>('notes')
  const scene = async (max = 4) => {
    const { pool, url } = await temporaryPostgres()
    await pool.query(clientTables)
    const prisma = open(url, max)
    onTestFinished(() => prisma.$disconnect())
    return { pool, prisma }
  }

  test("a transaction that Prisma has ended because it took too long is the handler's failure, and its neighbours are applied", async () => {
    const { pool, prisma } = await scene()
    const transactions = fromPrisma(prisma, { timeoutMs: 1_000 })
    const app = stopAfterwards(onefold({ database: postgres(pool, { transactions, migrations: 'apply' }) }))
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      async apply({ id }, { tx }) {
        await tx.account.create({ data: { id } })
        if (id === 'slow') await sleep(1_200)
      },
    })
    await app.publishMany(
      notes,
      ['a', 'slow', 'b'].map((id) => ({ data: { id } })),
    )
    await app.start()
    await until(async () => (await app.attention.list()).length > 0, 'the slow one waits for a person', 15_000)
    await app.idle()
    expect(await app.attention.list()).toMatchObject([{ errorMessage: expect.stringContaining('the transaction ended') }])
    expect((await pool.query('select id from account order by id')).rows).toEqual([{ id: 'a' }, { id: 'b' }])
  })

  test('no connection free within maxWaitMs: nobody is to blame, and it says what to change', async () => {
    const { prisma } = await scene(1)
    const { run } = fromPrisma(prisma, { maxWaitMs: 100 })
    const second = run(() => rejection(run(async () => 'never')))
    expect(await second).toMatchObject({ code: 'DATABASE_BUSY', retry: 'later', message: expect.stringContaining('maxWaitMs') })
  })

  test('what the server said is found in the errors of its models, too: conflicts, lost connections, constraints', async () => {
    const { pool, prisma } = await scene()
    await prisma.account.createMany({ data: [{ id: 'a' }, { id: 'b' }] })
    expect(sqlState(await rejection(prisma.account.create({ data: { id: 'a' } })))).toBe('23505')
    let met = 0
    const crossing = (first: string, second: string) =>
      prisma.$transaction(async (tx) => {
        await tx.account.update({ where: { id: first }, data: { balance: 1 } })
        met++
        while (met < 2) await sleep(3)
        await tx.account.update({ where: { id: second }, data: { balance: 1 } })
      })
    const ends = await Promise.allSettled([crossing('a', 'b'), crossing('b', 'a')])
    const [deadlock, ...more] = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))
    expect(more).toEqual([])
    expect(isConflict(deadlock)).toBe(true)
    const lost = prisma.$transaction(async (tx) => {
      const [{ pid }] = await tx.$queryRaw<[{ pid: number }]>`select pg_backend_pid() as pid`
      await pool.query('select pg_terminate_backend($1)', [pid])
      await tx.account.findMany()
    })
    expect(isConnectionLost(await rejection(lost))).toBe(true)
  })

  test("tx is Prisma's TransactionClient", () => {
    const app = onefold({ database: postgres(new Pool(), { transactions: fromPrisma(open('')) }) })
    expectTypeOf<TxOf<typeof app>>().not.toBeAny()
    expectTypeOf<TxOf<typeof app>>().toEqualTypeOf<Prisma.TransactionClient>()
    app.consume(notes, 'g', async (note, { tx }) => {
      // @ts-expect-error the column is an integer
      await tx.account.create({ data: { id: note.id, balance: 'x' } })
    })
  })

  test('takes a client, and sensible times', () => {
    const taken =
      (value: unknown, options = {}) =>
      () =>
        fromPrisma(value as PrismaClient, options)
    for (const value of [undefined, null, {}, new Pool()])
      expect(taken(value)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
    expect(taken(open(''), { timeoutMs: 5 })).toThrow('timeoutMs')
    expect(taken(open(''), { maxWaitMs: 0.5 })).toThrow('maxWaitMs')
  })
})

type TxOf<A> = A extends App<infer Tx> ? Tx : never
