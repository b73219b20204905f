import { describe, expect, test } from 'vitest'
import type { Envelope } from '../../../src/index.ts'
import { topic } from '../../../src/index.ts'
import { envelope } from '../../support/parked-messages.ts'
import type { Open } from '../../support/postgres-stores.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

const orders = topic<unknown>('orders', { partitions: 4, key: () => 'a' })

const appends = (open: Open): number => open.statements.filter((text) => text.includes('.append(')).length

async function subject() {
  const stores = await StoresOnPostgres.create()
  await stores.write(({ topics }) => topics.declare(orders))
  const append = (open: Open, envelopes: readonly Envelope[]) =>
    Promise.resolve(open.topics.declare(orders)).then((record) => open.log.append(record, envelopes))
  const inLog = () => stores.column('select id from {s}.log order by message')
  return { stores, append, inLog }
}

describe('a batch of messages on PostgreSQL', () => {
  test('goes into the log in its order, whatever is numbered, repeated, for later or known already', async () => {
    const { stores, append, inLog } = await subject()
    await stores.write((open) => append(open, [envelope('known', 'a')]))
    const open = await stores.begin()
    const statuses = await append(open, [
      envelope('u1', 'a'),
      envelope('n1', 'a', { sequence: 1n }),
      envelope('u2', 'a'),
      envelope('known', 'a'),
      envelope('later', 'a', { deliverAtMs: 99_000 }),
      envelope('u1', 'a'),
      envelope('u1', 'a', { json: '"other"' }),
      envelope('n2', 'a', { sequence: 2n }),
      envelope('n2', 'a', { sequence: 2n }),
      envelope('u3', 'a'),
    ])
    await open.commit()
    expect(statuses).toEqual([
      ...['accepted', 'accepted', 'accepted', 'duplicate', 'accepted'],
      ...['duplicate', 'id-reused', 'accepted', 'duplicate', 'accepted'],
    ])
    expect(await inLog()).toEqual(['known', 'u1', 'n1', 'u2', 'n2', 'u3'])
    expect(await stores.column('select id from {s}.schedule')).toEqual(['later'])
    expect(appends(open)).toBe(1)
  })

  test('touches the partitions that it writes to, and no others', async () => {
    const { stores, append } = await subject()
    const open = await stores.begin()
    await append(open, [envelope('x', 'a'), envelope('y', 'a')])
    const touched = [...open.context.touched]
    await open.commit()
    const partitions = await stores.column('select distinct p.number from {s}.log l join {s}.partition p using (partition)')
    expect(touched).toEqual(partitions.map((number) => `orders/${number}`))
    expect(touched).toHaveLength(1)
  })

  test('of which one is taken by a transaction that is still open waits for that one, and is a duplicate once it has committed', async () => {
    const { stores, append, inLog } = await subject()
    const first = await stores.begin()
    await append(first, [envelope('b', 'a')])
    const second = await stores.begin()
    const statuses = append(second, [envelope('a', 'a'), envelope('b', 'a'), envelope('c', 'a')])
    await second.blocked()
    await first.commit()
    expect(await statuses).toEqual(['accepted', 'duplicate', 'accepted'])
    await second.commit()
    expect(await inLog()).toEqual(['b', 'a', 'c'])
  })

  test('that is known as a whole writes nothing', async () => {
    const { stores, append, inLog } = await subject()
    const batch = ['a', 'b'].map((id) => envelope(id, 'a'))
    await stores.write((open) => append(open, batch))
    expect(await stores.write((open) => append(open, batch))).toEqual(['duplicate', 'duplicate'])
    expect(await inLog()).toEqual(['a', 'b'])
    expect(await stores.column('select sum(count)::int from {s}.duplicate')).toEqual([2])
  })
})
