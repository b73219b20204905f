import { describe, expect, test } from 'vitest'
import type { NewParked } from '../../../src/consume/parked-store.ts'
import type { Lease } from '../../../src/ownership/ownership-store.ts'
import { envelope, parked, reason, subscription } from '../../support/parked-messages.ts'
import type { Open } from '../../support/postgres-stores.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

async function subject() {
  const stores = await StoresOnPostgres.create()
  await stores.write(({ groups }) => groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' }))
  const lease = await stores.lease('orders/ship/0')
  const park = (...messages: NewParked[]) => stores.write((open) => open.parked.park(subscription, '0', messages, 100))
  const list = async () =>
    (await stores.rows('select id, lane, state, due_ms, attempts, crashes from {s}.parked order by parked')).map((row) =>
      Object.values(row).join(' '),
    )
  const due = async (nowMs = 1e9, limit = 10) =>
    (await stores.write((open) => open.parked.due(subscription, '0', nowMs, limit))).map(({ envelope: { id } }) => id)
  const rowOf = async (id: string) =>
    BigInt((await stores.column('select parked from {s}.parked where id = $1', id))[0] as string)
  return { stores, lease, park, list, due, rowOf }
}
const failure = (attempt: number, errorMessage = `${attempt}`) => ({
  attempt,
  atMs: attempt,
  errorName: 'Error',
  errorMessage,
  errorStack: '',
})
const change = { attempts: 2, crashes: 0, dueMs: 500, release: false } as const

describe('the parked store on PostgreSQL', () => {
  test('many are parked by one statement, with their failed attempts and items, numbered in the order given', async () => {
    const { stores, list } = await subject()
    const messages = Array.from({ length: 300 }, (_, number) =>
      number % 100 === 0
        ? parked(`m${number}`, 'attention', {
            key: `k${number}`,
            reason: reason(`f${number}`),
            failures: [failure(1), failure(2)],
          })
        : parked(`m${number}`, 'behind', { key: `k${number - (number % 100)}` }),
    )
    const open = await stores.begin()
    await open.parked.park(subscription, '0', messages, 100)
    expect(open.statements.filter((text) => text.includes('parked'))).toHaveLength(1)
    await open.commit()
    expect((await list()).map((row) => row.split(' ')[0])).toEqual(messages.map(({ envelope: { id } }) => id))
    expect(await stores.column('select id from {s}.attention order by attention')).toEqual(['m0', 'm100', 'm200'])
    expect(
      await stores.rows(
        `select k.id, t.turn, t.error_message from {s}.attempt t join {s}.parked k using (parked) where k.id = 'm100' order by turn`,
      ),
    ).toEqual([
      { id: 'm100', turn: 1, error_message: '1' },
      { id: 'm100', turn: 2, error_message: '2' },
    ])
    expect(await stores.write(({ attention }) => attention.get('a2'))).toMatchObject({
      ...reason('f100'),
      behind: 99,
      sinceMs: 100,
      attempts: 1,
      state: 'open',
      envelope: envelope('m100', 'k100'),
    })
  })

  test('what is parked already is left as it is; other data under its identity is another message', async () => {
    const { park, list, stores } = await subject()
    await park(parked('one', 'waiting'))
    await park(parked('one', 'attention', { reason: reason() }), parked('two', 'behind'), parked('two', 'behind'))
    expect(await list()).toEqual(['one a waiting 0 1 0', 'two a behind 0 1 0'])
    expect(await stores.column('select count(*)::int from {s}.attention')).toEqual([0])
    await park(parked('one', 'behind', { envelope: envelope('one', 'a', { json: '1' }) }))
    await park(parked('one', 'behind', { envelope: envelope('one', 'a', { sequence: 2n ** 60n }) }))
    await park(parked('one', 'behind', { envelope: envelope('one', 'a', { sequence: 2n ** 60n }) }))
    expect(await list()).toHaveLength(4)
    expect(await stores.column('select sequence from {s}.parked where sequence is not null')).toEqual([`${2n ** 60n}`])
  })

  test('is due by time, then number; an envelope comes back as it went in', async () => {
    const { stores, park, due } = await subject()
    const whole = envelope('w', 'k', { type: 'other', headers: { a: 'b' }, sequence: 7n, json: '"\\u0000 \\" ü"' })
    await park(
      parked('late', 'waiting', { key: 'x', dueMs: 300 }),
      parked('soon', 'waiting', { key: 'y', dueMs: 200 }),
      parked('w', 'waiting', { envelope: whole, lane: undefined, dueMs: 200 }),
      parked('calls', 'calling', { key: 'z' }),
    )
    const nextDue = () => stores.write((open) => open.parked.nextDueMs(subscription, '0'))
    expect(await nextDue()).toBe(200)
    expect([await due(199), await due(200), await due(300), await due(300, 1)]).toEqual([
      [],
      ['soon', 'w'],
      ['soon', 'w', 'late'],
      ['soon'],
    ])
    const [, row] = await stores.write((open) => open.parked.due(subscription, '0', 200, 9))
    expect(row).toEqual({ row: 3n, state: 'waiting', dueMs: 200, attempts: 1, crashes: 0, lane: undefined, envelope: whole })
    expect(await stores.write((open) => open.parked.heldLanes(subscription, '0'))).toHaveLength(3)
    expect(await stores.write((open) => open.parked.holds(subscription, '0', 'x'))).toBe(true)
    expect(await stores.write((open) => open.parked.holds(subscription, '1', 'x'))).toBe(false)
    expect(await stores.write((open) => open.parked.reclaim(subscription, '0', 50))).toBe(1)
    expect(await nextDue()).toBe(50)
    expect(await stores.write((open) => open.parked.call(2n))).toBe(true)
    expect(await stores.write((open) => open.parked.call(2n))).toBe(true)
    expect(await stores.write((open) => open.parked.call(99n))).toBe(false)
  })

  test('whoever is done lets the next of its lane go, and of no other', async () => {
    const { stores, park, list, rowOf } = await subject()
    await park(parked('one', 'waiting'), parked('two', 'behind'), parked('three', 'behind'), parked('b', 'waiting', { key: 'b' }))
    await park(parked('b2', 'behind', { key: 'b' }))
    const done = async (id: bigint) => stores.write((open) => open.parked.done(id, 700))
    const one = await rowOf('one')
    expect([await done(one), await done(one)]).toEqual([true, false])
    expect(await list()).toEqual(['two a waiting 700 1 0', 'three a behind 0 1 0', 'b b waiting 0 1 0', 'b2 b behind 0 1 0'])
  })

  test('a failed turn counts only if the row is as it was found; the newest attempts are kept', async () => {
    const { stores, park, list, rowOf } = await subject()
    await park(parked('one', 'waiting', { failures: Array.from({ length: 25 }, (_, at) => failure(at + 1)) }))
    const row = await rowOf('one')
    const failed = (more: object) =>
      stores.write((open) =>
        open.parked.failed(row, { state: 'waiting', before: { attempts: 1, dueMs: 0 }, ...change, ...more }, 100),
      )
    expect(await failed({ before: { attempts: 0, dueMs: 0 } })).toBe(false)
    expect(await failed({ before: { attempts: 1, dueMs: 1 } })).toBe(false)
    expect(await failed({ failure: failure(26, 'nul \u0000 and half \ud800') })).toBe(true)
    expect(await failed({ failure: failure(26) })).toBe(false)
    expect(await list()).toEqual(['one a waiting 500 2 0'])
    const turns = await stores.rows('select turn, error_message from {s}.attempt order by turn')
    expect(turns).toHaveLength(20)
    expect([turns[0], turns.at(-1)]).toEqual([
      { turn: 7, error_message: '7' },
      { turn: 26, error_message: 'nul \uFFFD and half \uFFFD' },
    ])
    await stores.write((open) => open.parked.done(row, 0))
    expect(await stores.column('select count(*)::int from {s}.attempt')).toEqual([0])
  })

  test('a dead letter that lets its lane go is shown to a person, and the next of the lane is due', async () => {
    const { stores, park, list, rowOf } = await subject()
    await park(parked('one', 'waiting'), parked('two', 'behind'))
    const given = {
      ...change,
      state: 'attention',
      before: { attempts: 1, dueMs: 0 },
      reason: reason('f\u0000'),
      release: true,
    } as const
    expect(await stores.write(async (open) => open.parked.failed(await rowOf('one'), given, 800))).toBe(true)
    expect(await list()).toEqual(['one  attention 500 2 0', 'two a waiting 800 1 0'])
    expect(await stores.write(({ attention }) => attention.get('a1'))).toMatchObject({
      attempts: 2,
      fingerprint: 'f\uFFFD',
      sinceMs: 800,
      behind: 0,
    })
  })

  test('a start is counted once in each epoch', async () => {
    const { stores } = await subject()
    const begin = (epoch: bigint) => stores.write(({ startMarks }) => startMarks.begin(subscription, '0', 's/a', { epoch }))
    expect([await begin(1n), await begin(1n), await begin(2n), await begin(5n)]).toEqual([1, 1, 2, 3])
    expect(await stores.write(({ startMarks }) => startMarks.list(subscription, '0'))).toEqual([{ identity: 's/a', starts: 3 }])
    await stores.write(({ startMarks }) => startMarks.clear(subscription, '0', 's/a'))
    expect(await begin(5n)).toBe(1)
  })
})

describe('a message that waits behind another, and a person who discards that one', () => {
  async function held() {
    const scene = await subject()
    await scene.park(parked('head', 'attention', { reason: reason() }))
    const owner = async (): Promise<{ open: Open; guarded: Promise<void> }> => {
      const open = await scene.stores.begin()
      return { open, guarded: open.ownership.guard(scene.lease as Lease) }
    }
    const discard = async (open: Open): Promise<boolean> => {
      await open.attention.lock(['a1'])
      return await open.attention.discard('a1', 'mia', 'why', 900)
    }
    return { ...scene, owner, discard }
  }

  test('the owner is first: the person waits for its commit, and lets go what it has parked', async () => {
    const { stores, owner, discard, list } = await held()
    const { open, guarded } = await owner()
    await guarded
    expect(await open.parked.heldLanes(subscription, '0')).toEqual(['a'])
    await open.parked.park(subscription, '0', [parked('next', 'behind')], 100)
    const person = await stores.begin()
    const discarded = discard(person)
    await person.blocked()
    await open.commit()
    expect(await discarded).toBe(true)
    await person.commit()
    expect(await list()).toEqual(['next a waiting 900 1 0'])
  })

  test('the person is first: the owner waits, and finds nobody to wait for', async () => {
    const { stores, owner, discard, list } = await held()
    const person = await stores.begin()
    await discard(person)
    const { open, guarded } = await owner()
    await open.blocked()
    await person.commit()
    await guarded
    expect(await open.parked.heldLanes(subscription, '0')).toEqual([])
    // As decided by one that has looked before, outside of its transaction.
    await open.parked.park(subscription, '0', [parked('next', 'behind'), parked('then', 'behind')], 100)
    await open.commit()
    expect(await list()).toEqual(['next a waiting 100 1 0', 'then a behind 0 1 0'])
  })

  test('of two who act on one item at once the second finds it closed', async () => {
    const { stores, discard, list } = await held()
    const first = await stores.begin()
    await discard(first)
    const second = await stores.begin()
    const discarded = discard(second)
    await second.blocked()
    await first.commit()
    expect(await discarded).toBe(false)
    await second.commit()
    expect(await list()).toEqual([])
  })
})
