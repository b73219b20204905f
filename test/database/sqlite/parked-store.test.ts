import { describe, expect, test } from 'vitest'
import type { Session } from '../../../src/database/database.ts'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { erasedType } from '../../../src/message.ts'
import { envelope, parked, subscription } from '../../support/parked-messages.ts'
import { TemporaryFile } from '../../support/temporary.ts'

const other = { ...subscription, group: 'other' }

async function subject() {
  const file = new TemporaryFile()
  const database = sqlite(file.path)
  const app = file.app({ database })
  await app.attention.list()
  const write = <R>(work: (session: Session<unknown>) => R) =>
    database.write(work as never, { what: 'test' }) as Promise<Awaited<R>>
  for (const one of [subscription, other])
    await write((session) => session.groups.declare(one, { startFrom: 'earliest', semantics: 'effectively-once' }))
  return { file, write, ids: () => file.column('select id from onefold_parked order by parked') }
}

/** What these conditions keep apart, no schedule of the simulator brings together. */
describe('the parked store on SQLite', () => {
  test('what is parked again is kept once; another source, id, number or text is another message', async () => {
    const { write, ids } = await subject()
    const json = '{"of":"all"}'
    const first = envelope('a', 'k', { json })
    const all = [
      first,
      first,
      { ...first, source: 't' },
      { ...first, id: 'b' },
      { ...first, sequence: 5n },
      { ...first, json: '{}' },
    ]
    await write((session) =>
      session.parked.park(
        subscription,
        '0',
        all.map((one) => parked(one.id, 'waiting', { envelope: one })),
        1,
      ),
    )
    expect(await ids()).toEqual(['a', 'a', 'b', 'a', 'a'])
  })

  test('what was erased in the log since it was read is not parked; any other place, source or id is not meant', async () => {
    const { file, write, ids } = await subject()
    file.exec(`insert into onefold_topic (topic, name, partitions, keyed, id_reuse, retention_ms) values (1, 'orders', 1, 1, 'error', 1000000);
      insert into onefold_partition (partition, topic, number) values (7, 1, 0);
      insert into onefold_log (position, source, id, type, time_ms, data)
        values (${7 * 2 ** 40 + 3}, 's', 'gone', '${erasedType}', 0, 'null')`)
    const at = (offset: bigint, more: Partial<ReturnType<typeof envelope>> = {}) =>
      parked('gone', 'waiting', { envelope: envelope('gone', 'a', more), offset })
    await write((session) =>
      session.parked.park(
        subscription,
        '0',
        [at(3n), at(4n, { json: '1' }), at(3n, { source: 't' }), at(3n, { id: 'there' })],
        1,
      ),
    )
    expect(ids()).toEqual(['gone', 'gone', 'there'])
  })

  test('due is what waits and whose time has come', async () => {
    const { write } = await subject()
    const due = await write(async (session) => {
      await session.parked.park(
        subscription,
        '0',
        [parked('now', 'waiting', { dueMs: 100 }), parked('later', 'waiting', { key: 'b', dueMs: 300 })],
        1,
      )
      return session.parked.due(subscription, '0', 200, 10)
    })
    expect(due.map(({ envelope: { id } }) => id)).toEqual(['now'])
  })

  test('a turn neither begins nor ends with a message that came to wait for a person meanwhile', async () => {
    const { file, write } = await subject()
    const before = { attempts: 1, dueMs: 0 }
    const change = { state: 'waiting', before, attempts: 2, crashes: 0, dueMs: 9, release: false } as const
    const took = await write(async (session) => {
      await session.parked.park(subscription, '0', [parked('a', 'attention')], 1)
      return [await session.parked.call(1n), await session.parked.failed(1n, change, 1)]
    })
    expect(took).toEqual([false, false])
    expect(file.column('select state from onefold_parked')).toEqual(['attention'])
  })

  test('a new owner makes due what its own group has under way', async () => {
    const { file, write } = await subject()
    const reclaimed = await write(async (session) => {
      for (const one of [subscription, other]) await session.parked.park(one, '0', [parked('a', 'waiting')], 1)
      for (const row of [1n, 2n]) await session.parked.call(row)
      return session.parked.reclaim(other, '0', 1)
    })
    expect(reclaimed).toBe(1)
    expect(file.column('select state from onefold_parked order by parked')).toEqual(['calling', 'waiting'])
  })
})
