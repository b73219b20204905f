import { Pool } from 'pg'
import type { TransactionSql } from 'postgres'
import postgresJs from 'postgres'
import { describe, expectTypeOf, test } from 'vitest'
import type { PostgresTx } from '../../../../src/database/postgres/index.ts'
import { fromPostgresJs, postgres } from '../../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { clientOf, describeClient } from '../../../support/postgres-clients.ts'

describeClient('postgres.js', {
  forgotten: 'never-runs',
  open({ url, pool }) {
    const sql = postgresJs(url, { max: 4, onnotice: () => undefined })
    return clientOf(fromPostgresJs(sql), {
      besides: [sql, pool],
      insert: async (tx, id) => tx`insert into account values (${id}, 1)`,
      insertChild: async (tx, id, parent) => tx`insert into child values (${id}, ${parent})`,
      forget: (tx, id) => tx`insert into account values (${id}, 1)`,
      ids: async (tx) => (await tx`select id from account`).map(({ id }) => id),
      own: async (work) => (await sql.begin(async (tx) => [await work(tx)]))[0] as never,
      end: async (tx) => tx`commit`,
      close: () => sql.end(),
    })
  },
})

describe('without another client', () => {
  const notes = topic<{ id: string }>('notes')

  test("tx is postgres.js's TransactionSql, and the sql beside it does not compile", () => {
    const sql = postgresJs({ max: 1 })
    const app = onefold({ database: postgres(sql) })
    app.consume(notes, 'g', (_, { tx }) => expectTypeOf(tx).toEqualTypeOf<TransactionSql>())
    void (() => sql.begin((tx) => app.publish(notes, { id: 'a' }, { tx })))
    // @ts-expect-error not a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: sql }))
  })

  test("over pg, tx is Onefold's handle; { tx } takes that or a client with a transaction of its own", () => {
    const pool = new Pool()
    const app = onefold({ database: postgres(pool) })
    app.consume(notes, 'g', (_, { tx }) => expectTypeOf(tx).toEqualTypeOf<PostgresTx>())
    void (() => app.transaction(({ tx }) => app.publish(notes, { id: 'a' }, { tx })))
    void (async () => app.publish(notes, { id: 'a' }, { tx: await pool.connect() }))
    // @ts-expect-error the name of a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: 'tx' }))
  })
})
