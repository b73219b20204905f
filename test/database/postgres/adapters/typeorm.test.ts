import { Pool } from 'pg'
import type { EntityManager } from 'typeorm'
import { DataSource, EntitySchema } from 'typeorm'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { fromTypeOrm, postgres } from '../../../../src/database/postgres/index.ts'
import type { App } from '../../../../src/index.ts'
import { onefold, topic } from '../../../../src/index.ts'
import { clientOf, describeClient } from '../../../support/postgres-clients.ts'

const Account = new EntitySchema<{ id: string; balance: number | null }>({
  name: 'account',
  columns: { id: { type: 'text', primary: true }, balance: { type: 'integer', nullable: true } },
})
const Child = new EntitySchema<{ id: string; parent: string | null }>({
  name: 'child',
  columns: { id: { type: 'text', primary: true }, parent: { type: 'text', nullable: true } },
})

describeClient('TypeORM', {
  forgotten: 'runs',
  async open({ pool, url }) {
    const dataSource = await new DataSource({ type: 'postgres', url, entities: [Account, Child] }).initialize()
    return clientOf(fromTypeOrm(dataSource), {
      besides: [dataSource.manager, dataSource, pool],
      insert: (tx, id) => tx.insert(Account, { id, balance: 1 }),
      insertChild: (tx, id, parent) => tx.getRepository(Child).save({ id, parent }),
      forget: (tx, id) => void tx.insert(Account, { id, balance: 1 }),
      ids: async (tx) => (await tx.find(Account)).map(({ id }) => id),
      own: (work) => dataSource.transaction(work),
      end: (tx) => tx.query('commit'),
      close: () => dataSource.destroy(),
    })
  },
  commit: async (tx) => tx.queryRunner?.commitTransaction(),
})

describe('fromTypeOrm', () => {
  const notes = topic<{ id: string }>('notes')
  const dataSource = new DataSource({ type: 'postgres', entities: [Account] })

  test("tx is TypeORM's EntityManager, and a pool does not compile", () => {
    const app = onefold({ database: postgres(new Pool(), { transactions: fromTypeOrm(dataSource) }) })
    expectTypeOf<TxOf<typeof app>>().not.toBeAny()
    expectTypeOf<TxOf<typeof app>>().toEqualTypeOf<EntityManager>()
    // @ts-expect-error not a transaction
    void (() => app.publish(notes, { id: 'a' }, { tx: new Pool() }))
    app.consume(notes, 'g', (note, { tx }) => tx.insert(Account, { id: note.id }))
  })

  test('takes a DataSource and nothing else', () => {
    const taken = (value: unknown) => () => fromTypeOrm(value as DataSource)
    for (const value of [undefined, null, {}, dataSource.manager, new Pool()])
      expect(taken(value)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }))
  })
})

type TxOf<A> = A extends App<infer Tx> ? Tx : never
