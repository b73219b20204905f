import { Pool } from 'pg'
import type { Sql, TransactionSql } from 'postgres'
import sqlOf from 'postgres'
import { expectTypeOf, test } from 'vitest'
import type { PostgresTx } from '../../../src/database/postgres/index.ts'
import { postgres } from '../../../src/database/postgres/index.ts'
import { onefold, topic } from '../../../src/index.ts'

const notes = topic<{ id: string }>('notes')

test('the pool decides what tx is', async () => {
  const pool = new Pool()
  onefold({ database: postgres(pool) }).consume(notes, 'g', (_, { tx }) => {
    expectTypeOf(tx).toEqualTypeOf<PostgresTx>()
  })
  const sql: Sql = sqlOf({ max: 1 })
  onefold({ database: postgres(sql) }).consume(notes, 'g', (_, { tx }) => {
    expectTypeOf(tx).toEqualTypeOf<TransactionSql>()
  })
  // @ts-expect-error a string is no pool
  const wrong = () => postgres('postgres://localhost')
  expectTypeOf(wrong).toBeFunction()
  await sql.end()
  await pool.end()
})
