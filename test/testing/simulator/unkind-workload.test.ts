import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import { prove, unkindWorkload } from '../../../src/testing/index.ts'

const Payment = z.object({ id: z.string(), account: z.string(), amount: z.number().int() })
type Payment = z.infer<typeof Payment>
const payments = topic('payments', { schema: Payment, id: (payment) => payment.id, key: (payment) => payment.account })
const payloads: fc.Arbitrary<Payment[]> = fc.uniqueArray(
  fc.record({ id: fc.uuid(), account: fc.constantFrom('ann', 'bob', 'cem'), amount: fc.integer({ min: 1, max: 99 }) }),
  { selector: ({ id }) => id, maxLength: 20 },
)

describe('an unkind workload', () => {
  test('has every payload, those of one key in their order and next to each other, and the same for the same seed', () => {
    fc.assert(
      fc.property(payloads, fc.nat(1_000), (given, seed) => {
        const work = unkindWorkload(payments, given, { seed })
        expect(unkindWorkload(payments, given, { seed })).toEqual(work)
        const firsts = [...new Map(work.map(({ data }) => [(data as Payment).id, data as Payment])).values()]
        expect(firsts).toHaveLength(given.length)
        for (const account of ['ann', 'bob', 'cem']) {
          const inOrder = (list: readonly Payment[]) => list.filter((one) => one.account === account).map(({ id }) => id)
          expect(inOrder(firsts)).toEqual(inOrder(given))
        }
        const keys = firsts.map(({ account }) => account)
        const changes = keys.filter((key, index) => index > 0 && key !== keys[index - 1]).length
        expect(changes).toBeLessThanOrEqual(2)
      }),
    )
  })

  test('of many payloads repeats some at once and some at the end', () => {
    const given = Array.from({ length: 100 }, (_, i): Payment => ({ id: `${i}`, account: 'ann', amount: i }))
    const ids = unkindWorkload(payments, given).map(({ data }) => (data as Payment).id)
    const atOnce = ids.filter((id, index) => id === ids[index + 1]).length
    expect(atOnce).toBeGreaterThan(10)
    expect(ids.length - 100 - atOnce).toBeGreaterThan(10)
  })

  test('a topic without an id is refused', () => {
    expect(() => unkindWorkload(topic('clicks'), [1])).toThrow('a topic with an id')
  })

  test('a correct ledger stands it, with refused payloads and a taken identity among it', async () => {
    const app = onefold({ database: sqlite('nowhere.db') })
    app.consume(payments, 'ledger', ({ account, amount }, { tx }) => {
      tx.run('update account set balance = balance + ? where name = ?', amount, account)
    })
    const given = fc.sample(payloads, { seed: 3, numRuns: 1 })[0]?.slice(0, 5) ?? []
    const certificate = await prove(app, {
      workload: unkindWorkload(payments, given, {
        refused: [{ id: 'x', account: 'ann', amount: 'much' }],
        changed: (payment) => ({ ...payment, amount: payment.amount + 1 }),
      }),
      setup: (database) =>
        database.exec(
          "create table account (name text primary key, balance integer); insert into account values ('ann', 0), ('bob', 0), ('cem', 0)",
        ),
      invariants: {
        'the accounts hold what was paid': (state) =>
          state.get<{ sum: number }>('select sum(balance) as sum from account')?.sum ===
          given.reduce((sum, one) => sum + one.amount, 0),
      },
      maxSchedules: 150,
    })
    expect(certificate.schedules).toBe(150)
  })
})
