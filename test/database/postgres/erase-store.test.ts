import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { NewParked } from '../../../src/consume/parked-store.ts'
import type { Database } from '../../../src/database/database.ts'
import { erase } from '../../../src/erase/eraser.ts'
import { topic } from '../../../src/index.ts'
import type { Delivery } from '../../../src/message.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { envelope, parked, reason, subscription } from '../../support/parked-messages.ts'
import type { Open } from '../../support/postgres-stores.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'
import { until } from '../../support/until.ts'

const orders = topic<unknown>('orders', { partitions: 1, key: () => 'a' })
const officer = { by: 'officer', reason: 'asked for on paper' }
const nothing = { messages: 0, parked: 0, attention: 0, outbox: 0, scheduled: 0, calls: 0, revisions: 0, traces: 'possible' }

async function subject() {
  const stores = await StoresOnPostgres.create()
  await stores.write(({ groups }) => groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' }))
  const lease = await stores.lease('orders/ship/0')
  const run = <R>(work: (open: Open) => R): Promise<Awaited<R>> => stores.write(work)
  const database = { read: run, write: run, scrub: async () => false } as unknown as Database<unknown>
  const eraseKey = (options: object = {}) =>
    erase({ database, runtime: nodeRuntime() }, 'orders', { key: 'a', ...officer, ...options })
  /** Publishes them and answers them as a consumer reads them. */
  const publish = async (...ids: (readonly [string, string])[]): Promise<readonly Delivery[]> => {
    await stores.write(async ({ topics, log }) => {
      const record = await topics.declare(orders)
      await log.append(
        record,
        ids.map(([id, key]) => envelope(id, key)),
      )
    })
    return await stores.write(({ log }) => log.read('orders', '0', 0n, 1_000, 1e7))
  }
  const park = (...messages: NewParked[]) => stores.write((open) => open.parked.park(subscription, '0', messages, 100))
  /** As a consumer that has read it parks it. */
  const asRead = (delivery: Delivery | undefined, state: NewParked['state'], more: Partial<NewParked> = {}): NewParked => ({
    ...parked('', state, { reason: reason(), ...more }),
    envelope: delivery!.envelope,
    offset: delivery!.offset,
  })
  const somebodyWaits = () =>
    until(
      async () =>
        (
          await stores.column(
            'select count(*)::int from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0',
          )
        )[0] === 1,
      'the erasure waits',
    )
  /** Tables in which anything of the key is left. */
  const traces = async () => {
    const found: string[] = []
    for (const table of ['log', 'parked', 'attention', 'attempt', 'revision', 'audit', 'call', 'outbox', 'schedule', 'erasure'])
      if ((await stores.column(`select 1 from {s}.${table} x where x::text like '%secret%' or x::text like '%,a,%'`)).length > 0)
        found.push(table)
    return found
  }
  return { stores, lease, eraseKey, publish, park, asRead, somebodyWaits, traces }
}
const secret = (id: string) => envelope(id, 'a', { json: '"secret"', headers: { subject: 'secret' } })
const claim = { process: { pid: 7, host: 'h', startedAt: 'then' }, nowMs: 50, key: 'a' }

describe('erased on PostgreSQL, wherever it is', () => {
  test('log, parked, attention open and closed, outbox, delayed, calls and revisions; the preview counts the same, others’ data stays', async () => {
    const { stores, lease, eraseKey, park, traces } = await subject()
    await stores.write(async ({ topics, log, outbox }) => {
      const record = await topics.declare(orders)
      await log.append(record, [secret('one'), envelope('b1', 'b'), secret('two')])
      await log.append(record, [{ ...secret('later'), deliverAtMs: 9e9 }, envelope('b2', 'b', { deliverAtMs: 9e9 })])
      for (const topicName of ['orders', 'notes'])
        await outbox.append(topic(topicName), [
          { envelope: secret('out'), cause: undefined },
          { envelope: envelope('b3', 'b'), cause: undefined },
        ])
    })
    const failure = { attempt: 1, atMs: 1, errorName: 'E', errorMessage: 'secret', errorStack: 'secret' }
    const failed = { reason: { ...reason(), errorMessage: 'secret', errorStack: 'secret' }, failures: [failure] }
    await park(
      { ...parked('one', 'attention', failed), envelope: secret('one') },
      { ...parked('two', 'attention', { ...failed, lane: undefined }), envelope: secret('two') },
      { ...parked('gone', 'attention', { ...failed, lane: undefined }), envelope: secret('gone') },
      { ...parked('three', 'behind'), envelope: secret('three') },
      parked('b', 'attention', { key: 'b', reason: reason() }),
    )
    await stores.write(async ({ attention, calls }) => {
      await attention.revise('a1', { by: 'mia', reason: undefined, atMs: 1, after: '"secret too"' })
      await attention.record('a1', { action: 'edit', by: 'mia', reason: 'typo', atMs: 1, details: '"secret"' })
      await attention.discard('a3', 'mia', 'no use', 100)
      const intents = ['x', 'y'].map((name) => ({ name, round: 1, rule: 'repeat', token: name }) as const)
      await calls.intend(subscription, 's/one', intents, { ...claim, lease })
      await calls.intend(subscription, 's/b', intents, { ...claim, lease, key: 'b' })
      const how = { by: 'call', nowMs: 1 }
      await calls.settle(subscription, 's/one', { name: 'x', round: 1 }, { state: 'happened', result: '"secret"' }, how)
      const error = { name: 'E', code: 'C', message: 'secret' }
      await calls.settle(subscription, 's/one', { name: 'y', round: 1 }, { state: 'failed', error }, how)
    })
    const others = () => stores.rows("select * from {s}.log where key = 'b'")
    const kept = await others()
    const before = await eraseKey({ preview: true })
    expect(before).toEqual({
      messages: 2,
      parked: 3,
      attention: 3,
      outbox: 1,
      scheduled: 1,
      calls: 2,
      revisions: 1,
      traces: 'possible',
    })
    expect(await stores.column('select count(*)::int from {s}.erasure')).toEqual([0])
    expect(await eraseKey()).toEqual(before)
    expect(await traces()).toEqual(['outbox'])
    expect(await stores.column('select topic from {s}.outbox order by outbox')).toEqual(['orders', 'notes', 'notes'])
    expect(await others()).toEqual(kept)
    expect(
      await stores.rows('select id, source, type, key, headers, data from {s}.log where key is null order by message'),
    ).toEqual(['one', 'two'].map((id) => ({ id, source: 's', type: 'onefold.erased', key: null, headers: null, data: 'null' })))
    expect(await stores.column('select id from {s}.parked')).toEqual(['b'])
    expect(
      await stores.rows('select state, by, reason, closed_ms is null as open from {s}.attention order by attention'),
    ).toEqual([
      { state: 'discarded', ...officer, open: false },
      { state: 'discarded', ...officer, open: false },
      { state: 'discarded', by: 'mia', reason: 'no use', open: false },
      { state: 'open', by: null, reason: null, open: true },
    ])
    expect(await stores.column("select count(*)::int from {s}.call where key = 'b' and lease <> ''")).toEqual([2])
    expect(await eraseKey()).toEqual(nothing)
    const [noted] = await stores.rows('select * from {s}.erasure order by erasure')
    expect(noted).toMatchObject({ topic: 'orders', ...officer, rows: '13', finished_ms: expect.any(String) })
    const digest = createHash('sha256').update(`${noted!.key_salt}\norders\na`).digest()
    expect(digest.equals(noted!.key_digest as Buffer)).toBe(true)
  })

  test('more than a stretch in the log and parked, in commits of their own; who waits behind it moves on', async () => {
    const { stores, eraseKey } = await subject()
    const columns = 'source, id, key, time_ms, data'
    await stores.write(({ topics }) => topics.declare(orders))
    await stores.rows(
      `insert into {s}.log (partition, ${columns}) select 1, 's', n::text, case when n % 2 = 0 then 'a' else 'b' end, 1, '1' from generate_series(1, 11000) n`,
    )
    await stores.rows(
      `insert into {s}.parked (subscription, partition, lane, state, due_ms, attempts, crashes, parked_ms, ${columns})
       select 1, '0', '', case when n = 1 then 'attention' else 'behind' end, 0, 0, 0, 0, 's', n::text,
         case when n = 5100 then 'b' when n <= 300 or n > 5050 then 'a' else 'c' end, 1, '1' from generate_series(1, 5200) n`,
    )
    expect(await eraseKey()).toEqual({ ...nothing, messages: 5_500, parked: 449 })
    expect(await stores.column("select count(*)::int from {s}.log where key = 'b'")).toEqual([5_500])
    expect(await stores.rows("select id, due_ms > 0 as due from {s}.parked where state = 'waiting'")).toEqual([
      { id: '301', due: true },
    ])
    expect(await stores.rows('select key, count(*)::int as n from {s}.parked group by key order by key')).toEqual([
      { key: 'b', n: 1 },
      { key: 'c', n: 4_750 },
    ])
  })
})

describe('erased on PostgreSQL while transactions are open', () => {
  test('a consumer is parking what it has read: that is waited for, and found', async () => {
    const { stores, eraseKey, publish, asRead, somebodyWaits, lease, traces } = await subject()
    const [one, other] = await publish(['one', 'a'], ['other', 'b'])
    const owner = await stores.begin()
    await owner.ownership.guard(lease)
    await owner.parked.park(subscription, '0', [asRead(one, 'attention'), asRead(other, 'waiting', { lane: 'b' })], 100)
    const erasing = eraseKey()
    await somebodyWaits()
    await owner.commit()
    expect(await erasing).toEqual({ ...nothing, messages: 1, parked: 1, attention: 1 })
    expect(await traces()).toEqual([])
  })

  test('a consumer parks what was erased after it had read it: nothing of it is parked, and who was to wait behind it is due', async () => {
    const { stores, publish, asRead, lease, traces } = await subject()
    const [one, two, other] = await publish(['one', 'a'], ['two', 'a'], ['other', 'b'])
    const erasing = await stores.begin()
    const [found] = await stores.column("select message from {s}.log where id = 'one'")
    const target = { topic: 'orders', key: 'a' }
    const { rows } = await erasing.erasures.find('messages', target, undefined)
    expect(rows).toContain(Number(found))
    expect(await erasing.erasures.erase('messages', target, rows.slice(0, 1), { ...officer, nowMs: 1 })).toEqual({ messages: 1 })
    const owner = await stores.begin()
    await owner.ownership.guard(lease)
    const all = [asRead(one, 'attention'), asRead(two, 'behind'), asRead(other, 'behind')]
    const parking = owner.parked.park(subscription, '0', all, 100)
    await owner.blocked()
    await erasing.commit()
    await parking
    await owner.commit()
    expect(await stores.rows('select id, state, due_ms from {s}.parked order by parked')).toEqual([
      { id: 'two', state: 'waiting', due_ms: '100' },
      { id: 'other', state: 'behind', due_ms: '0' },
    ])
    expect(await stores.column('select count(*)::int from {s}.attention')).toEqual([0])
    // The same place in another partition, or another message: nothing to do with it.
    await stores.write((open) => open.parked.park(subscription, '1', [asRead(one, 'waiting')], 100))
    const foreign = { ...asRead(one, 'waiting'), envelope: envelope('foreign') }
    await stores.write((open) => open.parked.park(subscription, '0', [foreign], 100))
    expect(await stores.column('select count(*)::int from {s}.parked')).toEqual([4])
    await stores.rows('delete from {s}.parked')
    await stores.rows("delete from {s}.log where id = 'two'")
    expect(await traces()).toEqual([])
  })

  test('a delayed message is on its way into the log: it is found there', async () => {
    const { stores, eraseKey, publish, somebodyWaits, traces } = await subject()
    await publish()
    await stores.write(async ({ topics, log }) => {
      const later = [{ ...secret('later'), deliverAtMs: 2_000 }]
      await log.append(await topics.declare(orders), later)
    })
    const release = await stores.begin()
    expect(await release.schedule.release(2_000, 10)).toEqual(['orders'])
    const erasing = eraseKey()
    await somebodyWaits()
    await release.commit()
    expect(await erasing).toEqual({ ...nothing, messages: 1 })
    expect(await traces()).toEqual([])
  })

  test('a failed turn raises an item at this moment: it is closed with the rest', async () => {
    const { stores, eraseKey, publish, asRead, park, somebodyWaits, lease, traces } = await subject()
    const [one] = await publish(['one', 'a'])
    await park(asRead(one, 'waiting'))
    const owner = await stores.begin()
    await owner.ownership.guard(lease)
    const change = { state: 'attention', attempts: 2, crashes: 0, dueMs: 0, release: false } as const
    const before = { attempts: 1, dueMs: 0 }
    const failure = { attempt: 1, atMs: 1, errorName: 'E', errorMessage: 'secret', errorStack: 'secret' }
    expect(await owner.parked.failed(1n, { ...change, before, reason: reason(), failure }, 9)).toBe(true)
    const erasing = eraseKey()
    await somebodyWaits()
    await owner.commit()
    expect(await erasing).toEqual({ ...nothing, messages: 1, parked: 1, attention: 1 })
    expect(await traces()).toEqual([])
  })

  test('a person edits the message at this moment: both bodies are erased', async () => {
    const { stores, eraseKey, publish, asRead, park, somebodyWaits, traces } = await subject()
    const [one] = await publish(['one', 'a'])
    await park(asRead(one, 'attention'))
    const person = await stores.begin()
    await person.attention.lock(['a1'])
    expect(await person.attention.revise('a1', { by: 'mia', reason: 'typo', atMs: 7, after: '"secret"' })).toBe(true)
    const erasing = eraseKey()
    await somebodyWaits()
    await person.attention.redrive('a1', 'mia', 9)
    await person.commit()
    expect(await erasing).toEqual({ ...nothing, messages: 1, parked: 1, attention: 1, revisions: 1 })
    expect(await traces()).toEqual([])
  })

  test('calls of the message begin, or answer, at this moment: neither a request follows, nor is an answer kept', async () => {
    const { stores, eraseKey, publish, asRead, park, somebodyWaits, lease, traces } = await subject()
    const [one] = await publish(['one', 'a'])
    await park(asRead(one, 'waiting'))
    const intents = ['x', 'y'].map((name) => ({ name, round: 1, rule: 'repeat', token: name }) as const)
    const answer = { state: 'happened', result: '"secret"' } as const
    const how = { by: 'call', nowMs: 1 }
    const owner = await stores.begin()
    await owner.ownership.guard(lease)
    expect(await owner.parked.call(1n)).toBe(true)
    await owner.calls.intend(subscription, 's/one', intents, { ...claim, lease })
    expect(await owner.calls.settle(subscription, 's/one', { name: 'x', round: 1 }, answer, how)).toBe(true)
    const erasing = eraseKey()
    await somebodyWaits()
    await owner.commit()
    expect(await erasing).toEqual({ ...nothing, messages: 1, parked: 1, calls: 2 })
    await stores.write(async (open) => {
      await open.ownership.guard(lease)
      expect(await open.parked.call(1n)).toBe(false)
      expect(await open.calls.settle(subscription, 's/one', { name: 'y', round: 1 }, answer, how)).toBe(false)
    })
    expect(await traces()).toEqual([])
  })

  test('an answer is being recorded when its call is erased: that waits, and erases the answer', async () => {
    const { stores, lease, traces } = await subject()
    const intents = [{ name: 'x', round: 1, rule: 'repeat', token: 'x' }] as const
    await stores.write(({ calls }) => calls.intend(subscription, 's/one', intents, { ...claim, lease }))
    const owner = await stores.begin()
    const answer = { state: 'happened', result: '"secret"' } as const
    await owner.calls.settle(subscription, 's/one', { name: 'x', round: 1 }, answer, { by: 'call', nowMs: 1 })
    const erasing = await stores.begin()
    const erased = erasing.erasures.erase('calls', { topic: 'orders', key: 'a' }, [1, 1], { ...officer, nowMs: 1 })
    await erasing.blocked()
    await owner.commit()
    expect(await erased).toEqual({ calls: 1 })
    await erasing.commit()
    expect(await traces()).toEqual([])
  })
})
