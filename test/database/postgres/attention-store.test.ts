import { describe, expect, test } from 'vitest'
import { parked, reason, subscription } from '../../support/parked-messages.ts'
import type { Open } from '../../support/postgres-stores.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

/** Items a1 (key a, with one behind it), and a2 of another kind (key b). */
async function subject() {
  const stores = await StoresOnPostgres.create()
  const declared = { startFrom: 'earliest', semantics: 'effectively-once' } as const
  await stores.write(({ groups }) => groups.declare(subscription, declared))
  const failures = [1, 2].map((attempt) => ({
    attempt,
    atMs: attempt,
    errorName: 'Error',
    errorMessage: `${attempt}`,
    errorStack: '',
  }))
  const before = { attempts: 3, crashes: 1 }
  await stores.write((open) =>
    open.parked.park(
      subscription,
      '0',
      [
        parked('one', 'attention', { ...before, reason: reason('f1'), failures }),
        parked('two', 'behind', before),
        parked('three', 'attention', { ...before, key: 'b', reason: reason('f2', 'late-message') }),
      ],
      100,
    ),
  )
  const list = async () =>
    (await stores.rows('select id, state, due_ms, attempts, crashes from {s}.parked order by parked')).map((row) =>
      Object.values(row).join(' '),
    )
  return { stores, list }
}

const closings: readonly ((open: Open) => Promise<boolean>)[] = [
  ({ attention }) => attention.redrive('a1', 'mia', 200),
  ({ attention }) => attention.discard('a1', 'mia', 'why', 200),
  ({ attention }) => attention.settle('a1', 'go-on', 'mia', undefined, 200),
  ({ attention }) => attention.settle('a1', 'put-aside', 'mia', undefined, 200),
]

describe('the attention store on PostgreSQL', () => {
  test.each([0, 1, 2, 3])('of several who close an item one does, whatever they close it as (%i first)', async (first) => {
    const { stores } = await subject()
    const open = await stores.begin()
    expect(await closings[first]!(open)).toBe(true)
    const { touched } = open.context
    expect([...touched]).toEqual(['orders'])
    await open.commit()
    for (const next of closings) expect(await stores.write(next)).toBe(false)
  })

  test('of two who close an item at the same time, without any lock but the item’s, one does', async () => {
    const { stores } = await subject()
    const first = await stores.begin()
    expect(await closings[0]!(first)).toBe(true)
    const second = await stores.begin()
    const closed = closings[1]!(second)
    await second.blocked()
    await first.commit()
    expect(await closed).toBe(false)
    await second.commit()
  })

  test('redrive and settle make the message due, discard and put aside take it away and let the next go', async () => {
    for (const index of [0, 2]) {
      const { stores, list } = await subject()
      await stores.write(closings[index]!)
      expect(await list()).toEqual(['one waiting 200 0 0', 'two behind 0 3 1', 'three attention 0 3 1'])
    }
    for (const index of [1, 3]) {
      const { stores, list } = await subject()
      await stores.write(closings[index]!)
      expect(await list()).toEqual(['two waiting 200 3 1', 'three attention 0 3 1'])
    }
  })

  test('what was redriven waits behind an earlier message of its key', async () => {
    const { stores, list } = await subject()
    await stores.rows("update {s}.parked set state = 'waiting' where id = 'one'")
    await stores.rows("update {s}.parked set state = 'attention' where id = 'two'")
    await stores.rows('update {s}.attention set parked = 2 where attention = 2')
    expect(await stores.write(({ attention }) => attention.redrive('a2', 'mia', 200))).toBe(true)
    expect(await list()).toEqual(['one waiting 0 3 1', 'two behind 200 0 0', 'three attention 0 3 1'])
  })

  test('a revision keeps both bodies and changes nothing but the data', async () => {
    const { stores } = await subject()
    const revise = (after: string) =>
      stores.write(({ attention }) => attention.revise('a1', { by: 'mia', reason: 'typo', atMs: 7, after }))
    expect(await revise('{"id":1}')).toBe(true)
    expect(await stores.rows('select source, id, key, data from {s}.parked where parked = 1')).toEqual([
      { source: 's', id: 'one', key: 'a', data: '{"id":1}' },
    ])
    const revision = { by: 'mia', reason: 'typo', atMs: 7, before: '{"id":"one"}', after: '{"id":1}' }
    expect(await stores.write(({ attention }) => attention.revisions('a1'))).toEqual([revision])
    await stores.write(closings[1]!)
    expect(await revise('{}')).toBe(false)
    expect(await stores.write(({ attention }) => attention.revisions('a1'))).toEqual([revision])
  })

  test('keeps failed attempts with an item that is done with, and who did what, whatever characters they write', async () => {
    const { stores } = await subject()
    await stores.write(({ attention }) => attention.discard('a1', 'm\u0000a', 'wh\u0000', 200))
    const entry = { action: 'discard', by: 'm\u0000a', reason: undefined, atMs: 200, details: undefined } as const
    await stores.write(({ attention }) => attention.record('a1', entry))
    expect(await stores.write(({ attention }) => attention.audit('a1'))).toEqual([{ ...entry, by: 'm\uFFFDa' }])
    expect(await stores.write(({ attention }) => attention.get('a1'))).toMatchObject({
      by: 'm\uFFFDa',
      reason: 'wh\uFFFD',
      closedMs: 200,
    })
    const attempts = await stores.write(({ attention }) => attention.failedAttempts('a1'))
    expect(attempts.map(({ errorMessage, atMs }) => [errorMessage, atMs])).toEqual([
      ['1', 1],
      ['2', 2],
    ])
    expect(await stores.write(({ attention }) => attention.audit('a2'))).toEqual([])
    for (const id of ['nonsense', 'a99', '']) expect(await stores.write(({ attention }) => attention.get(id))).toBeUndefined()
  })

  test('lists, counts and finds; ids have no bound of their own', async () => {
    const { stores } = await subject()
    const ids = (filter: object) => stores.write(({ attention }) => attention.ids(filter))
    expect(await ids({})).toEqual(['a1', 'a2'])
    expect(await ids({ limit: 1 })).toEqual(['a1'])
    expect(await ids({ kind: 'late-message' })).toEqual(['a2'])
    expect(await ids({ topic: 'orders', group: 'ship', key: 'a', fingerprint: 'f1' })).toEqual(['a1'])
    expect(await ids({ topic: 'other' })).toEqual([])
    expect(await ids({ key: 'a\u0000' })).toEqual([])
    await stores.write(closings[0]!)
    expect(await ids({})).toEqual(['a2'])
    expect(await ids({ state: 'all' })).toEqual(['a1', 'a2'])
    const items = await stores.write(({ attention }) => attention.list({ state: 'all' }))
    expect(items.map(({ id, behind, state }) => [id, behind, state])).toEqual([
      ['a1', 0, 'redriven'],
      ['a2', 0, 'open'],
    ])
    const newest = { count: 1, topic: 'orders', group: 'ship', oldestMs: 100, newestMs: 100, errorName: 'Error' }
    expect(await stores.write(({ attention }) => attention.groups({ state: 'all' }))).toEqual([
      { ...newest, fingerprint: 'f2', kind: 'late-message', newestId: 'a2', errorMessage: 'of f2' },
      { ...newest, fingerprint: 'f1', kind: 'dead-letter', newestId: 'a1', errorMessage: 'of f1' },
    ])
    const openOf = (id: string) => stores.write(({ attention }) => attention.openOf(subscription, { source: 's', id }))
    expect(await openOf('three')).toMatchObject({ id: 'a2', kind: 'late-message' })
    expect(await openOf('one')).toBeUndefined()
    expect(await openOf('two')).toBeUndefined()
  })

  test('who locks several items takes their partitions by name, whatever order they are given in: two never wait in a circle', async () => {
    const { stores } = await subject()
    await stores.lease('orders/ship/0')
    await stores.lease('orders/ship/1')
    await stores.write((open) =>
      open.parked.park(subscription, '1', [parked('four', 'attention', { key: 'c', reason: reason() })], 100),
    )
    const holder = await stores.begin()
    await holder.attention.lock(['a1'])
    const waiting = await stores.begin()
    const locked = waiting.attention.lock(['a3', 'nonsense', 'a1', 'a2', 'a99'])
    await waiting.blocked()
    // It waits for partition 0, and does not have partition 1 meanwhile.
    const other = await stores.begin()
    await other.attention.lock(['a3'])
    await other.commit()
    await holder.commit()
    await locked
    const late = await stores.begin()
    const lockedLate = late.attention.lock(['a3'])
    await late.blocked()
    await waiting.commit()
    await lockedLate
    await late.commit()
  })
})
