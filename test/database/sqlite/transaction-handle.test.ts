import { expect, test } from 'vitest'
import type { SqliteTx } from '../../../src/database/sqlite/index.ts'
import { topic } from '../../../src/index.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

interface Order {
  readonly id: string
  readonly account: string
}

const one = topic<Order>('orders', { partitions: 1, id: (order) => order.id, key: (order) => order.account })

test.each(['run', 'get', 'all', 'prepared', 'raw', 'iterate', 'iterating', 'iterated'])(
  '%s of a tx is revoked with it',
  async (way) => {
    const file = new TemporaryFile()
    const app = file.app()
    const insert = "insert into effect values ('late', 1) returning id"
    const uses: Record<string, (tx: SqliteTx) => () => unknown> = {
      run: (tx) => () => tx.run(insert),
      get: (tx) => () => tx.get(insert),
      all: (tx) => () => tx.all(insert),
      prepared: (tx) => {
        const statement = tx.prepare(insert)
        return () => statement.run()
      },
      raw: (tx) => {
        const statement = tx.prepare(insert).raw()
        return () => statement.get()
      },
      iterate: (tx) => {
        const statement = tx.prepare(insert)
        return () => [...statement.iterate()]
      },
      // SQLite runs the statement when the first row is asked for.
      iterating: (tx) => {
        const rows = tx.prepare(insert).iterate()
        return () => rows.next()
      },
      iterated: (tx) => {
        tx.run("insert into effect values ('a', 1), ('b', 2)")
        const rows = tx.prepare('select id from effect').iterate()
        rows.next()
        return () => rows.next()
      },
    }
    let use: () => unknown = () => undefined
    await app.transaction(({ tx }) => {
      use = (uses[way] as (tx: SqliteTx) => () => unknown)(tx)
    })
    expect(use).toThrow(/tx was used after/)
    await app.transaction(() => {
      try {
        use()
      } catch {
        // An iterator that has thrown once is done, the others throw again; what counts is that nothing is written.
      }
    })
    expect(file.effects()).not.toContain('late')
  },
)

test('rows not read to their end do not stand in the way of the commit', async () => {
  const file = new TemporaryFile()
  const app = file.app()
  app.consume(one, 'g', ({ id }, { tx }) => {
    const rows = tx.prepare("insert into effect values (?, 1), ('second', 1) returning id").iterate(id)
    expect(rows.next().value).toEqual({ id })
  })
  await app.publishMany(
    one,
    ['0', '1'].map((id) => ({ data: { id, account: 'a' } })),
  )
  await app.start()
  await until(
    () => file.effects().length === 4,
    () => JSON.stringify(file.events),
  )
  expect(file.effects()).toEqual(['0', 'second', '1', 'second'])
})
