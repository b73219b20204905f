import type { Knex } from 'knex'
import knexOf from 'knex'
import { Pool } from 'pg'
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest'
import { fromKnex, postgres } from '../../../../src/database/postgres/index.ts'
import type { App } from '../../../../src/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { temporaryPostgres } from '../../../support/postgres.ts'
import { clientOf, clientTables, describeClient } from '../../../support/postgres-clients.ts'
import { stopAfterwards } from '../../../support/temporary.ts'
import { rejection, until } from '../../../support/until.ts'

const open = (connection: string): Knex =>
  knexOf({
    client: 'pg',
    connection,
    pool: { min: 0 },
    // As Objection's `knexSnakeCaseMappers` does. Our statements must not go through it.
    postProcessResponse: (result) => (result?.rows === undefined ? result : { ...result, rows: 'processed' }),
  })

describeClient('Knex', {
  forgotten: 'never-runs',
  open({ pool, url }) {
    const knex = open(url)
    return clientOf(fromKnex(knex), {
      besides: [knex, pool],
      insert: (tx, id) => tx('account').insert({ id, balance: 1 }),
      insertChild: (tx, id, parent) => tx('child').insert({ id, parent }),
      forget: (tx, id) => tx('account').insert({ id, balance: 1 }),
      ids: (tx) => tx('account').pluck('id'),
      own: (work) => knex.transaction(work),
      end: (tx) => tx.raw('commit'),
      close: () => knex.destroy(),
    })
  },
  commit: async (tx) => tx.commit(),
})

describe('fromKnex', { timeout: 30_000 }, () => {
  const notes = topic<{ id: string }>('notes')
  const knex = knexOf({ client: 'pg' })

  test('a handler that commits or rolls back by Knex itself has failed, and its message is not sent', async () => {
    const { pool, url } = await temporaryPostgres()
    await pool.query(clientTables)
    const own = open(url)
    onTestFinished(() => own.destroy())
    const app = stopAfterwards(onefold({ database: postgres(pool, { transactions: fromKnex(own), migrations: 'apply' }) }))
    for (const end of ['commit', 'rollback'] as const) {
      const ended = app.transaction(async ({ tx, publish }) => {
        await tx('account').insert({ id: end })
        publish(notes, { id: end })
        await tx[end]()
      })
      expect(await rejection(ended)).toMatchObject({ code: 'TRANSACTION_ENDED' })
    }
    app.consume(notes, { group: 'g', maxAttempts: 1, apply: (_, { tx }) => tx.rollback() })
    expect((await pool.query('select id from onefold.log')).rows).toEqual([])
    await app.publish(notes, { id: 'a' })
    await app.start()
    await until(async () => (await app.attention.groups()).length > 0, 'the message waits for a person', 15_000)
    expect(await app.attention.list()).toMatchObject([{ errorMessage: expect.stringContaining('the transaction ended') }])
  })

  test("tx is Knex's Transaction, and the instance beside it does not compile", () => {
    const app = onefold({ database: postgres(new Pool(), { transactions: fromKnex(knex) }) })
    expectTypeOf<TxOf<typeof app>>().not.toBeAny()
    expectTypeOf<TxOf<typeof app>>().toEqualTypeOf<Knex.Transaction>()
    // @ts-expect-error not a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: knex }))
    app.consume(notes, 'g', (note, { tx }) => tx('account').insert({ id: note.id }))
  })

  test('takes an instance and nothing else', () => {
    const taken = (value: unknown) => () => fromKnex(value as Knex)
    for (const value of [undefined, null, {}, () => undefined, new Pool()])
      expect(taken(value)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})

type TxOf<A> = A extends App<infer Tx> ? Tx : never
