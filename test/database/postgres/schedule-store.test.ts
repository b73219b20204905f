import { describe, expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { envelope } from '../../support/parked-messages.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

const orders = topic<unknown>('orders', { partitions: 2, key: () => 'a' })

async function subject() {
  const stores = await StoresOnPostgres.create()
  await stores.write(async ({ topics, log }) => {
    const record = await topics.declare(orders)
    const ids = ['d30', 'b10', 'c20', 'a10']
    await log.append(
      record,
      ids.map((id) => envelope(id, 'a', { deliverAtMs: 2_000 + Number(id.slice(1)) })),
    )
  })
  const inLog = () => stores.column('select id from {s}.log order by message')
  return { stores, inLog }
}

describe('delayed messages on PostgreSQL', () => {
  test('what is due goes into the log, in the order of its times, and no sooner', async () => {
    const { stores, inLog } = await subject()
    const nextDue = () => stores.write(({ schedule }) => schedule.nextDueMs())
    expect(await nextDue()).toBe(2_010)
    expect(await stores.write(({ schedule }) => schedule.release(2_009, 10))).toEqual([])
    const open = await stores.begin()
    expect(await open.schedule.release(2_020, 10)).toEqual(['orders'])
    expect([...open.context.touched]).toEqual(['orders/0', 'orders'])
    await open.commit()
    expect(await inLog()).toEqual(['b10', 'a10', 'c20'])
    expect(await nextDue()).toBe(2_030)
    expect(await stores.write(({ schedule }) => schedule.release(9_999, 10))).toEqual(['orders'])
    expect(await nextDue()).toBeUndefined()
    const deliveries = await stores.write(async ({ log }) => [
      ...(await log.read('orders', '0', 0n, 10, 1e6)),
      ...(await log.read('orders', '1', 0n, 10, 1e6)),
    ])
    expect(deliveries.map(({ envelope: { id } }) => id)).toEqual(['b10', 'a10', 'c20', 'd30'])
    expect(deliveries[0]!.envelope).toEqual(envelope('b10'))
  })

  test('of two who release at once each message is released by one, and neither waits', async () => {
    const { stores, inLog } = await subject()
    const [first, second, third] = [await stores.begin(), await stores.begin(), await stores.begin()]
    expect(await first.schedule.release(9_999, 2)).toEqual(['orders'])
    expect(await second.schedule.release(9_999, 1)).toEqual(['orders'])
    await second.commit()
    expect(await inLog()).toEqual(['c20'])
    expect(await third.schedule.release(9_999, 9)).toEqual(['orders'])
    await third.commit()
    // What the first had is due again when it does not commit.
    await first.rollback()
    expect(await stores.write(({ schedule }) => schedule.release(9_999, 9))).toEqual(['orders'])
    expect(await inLog()).toEqual(['c20', 'd30', 'b10', 'a10'])
  })
})

describe('cron schedules on PostgreSQL', () => {
  const nightly = { name: 'nightly', topic: 'orders', pattern: '0 0 * * *', timeZone: 'UTC' }
  const step = (fromMs: number | undefined, toMs: number, fired = 1, missed = 0) => ({ fromMs, toMs, fired, missed })

  test('moves on from where it is, and from nowhere else', async () => {
    const stores = await StoresOnPostgres.create()
    const advance = (...given: Parameters<typeof step>) => stores.write(({ cron }) => cron.advance(nightly, step(...given)))
    expect([await advance(undefined, 10, 0), await advance(undefined, 20, 0), await advance(9, 20)]).toEqual([true, false, false])
    expect([await advance(10, 20, 2, 3), await advance(10, 20)]).toEqual([true, false])
    expect(await stores.write(({ cron }) => cron.list())).toEqual([{ ...nightly, lastMs: 20, fired: 2, missed: 3 }])
  })

  test.each([undefined, 10])('of two processes that saw the same last instant (%s) one publishes', async (fromMs) => {
    const stores = await StoresOnPostgres.create()
    if (fromMs !== undefined) await stores.write(({ cron }) => cron.advance(nightly, step(undefined, fromMs)))
    const [first, second] = [await stores.begin(), await stores.begin()]
    expect(await first.cron.advance(nightly, step(fromMs, 30))).toBe(true)
    const advanced = second.cron.advance(nightly, step(fromMs, 30))
    await second.blocked()
    await first.commit()
    expect(await advanced).toBe(false)
    await second.commit()
  })
})
