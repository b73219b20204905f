import { expect, test } from 'vitest'
import type { NumberedRow } from '../../../src/outbox/outbox-store.ts'
import { partitionOf } from '../../../src/partition-of.ts'
import { topic } from '../../../src/topic.ts'
import { envelope } from '../../support/parked-messages.ts'
import type { Open } from '../../support/postgres-stores.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

const append = (open: Open, ...ids: string[]): Promise<void> =>
  open.outbox.append(
    topic('orders'),
    ids.map((id) => ({ envelope: envelope(id), cause: undefined })),
  )

test('many rows go in by one statement and out by one, in order, as they were', async () => {
  const stores = await StoresOnPostgres.create()
  const open = await stores.begin()
  const ids = Array.from({ length: 400 }, (_, number) => `m${number}`)
  await append(open, ...ids)
  const special = envelope('special', 'k', { type: 'other', headers: { a: 'b' }, sequence: 3n, deliverAtMs: 77 })
  await open.outbox.append(topic('notes'), [{ envelope: special, cause: 's/cause' }])
  expect(open.statements).toHaveLength(2)
  const rows = await open.outbox.read(1_000)
  expect(rows.map((row) => row.envelope.id)).toEqual([...ids, 'special'])
  expect(rows[0]).toEqual({
    row: 1n,
    topic: 'orders',
    order: 'key',
    number: undefined,
    cause: undefined,
    envelope: envelope('m0', 'a', { deliverAtMs: undefined }),
  })
  expect(rows.at(-1)).toEqual({ row: 401n, topic: 'notes', order: 'key', number: undefined, cause: 's/cause', envelope: special })
  expect(await open.outbox.read(3)).toHaveLength(3)
  open.statements.length = 0
  await open.outbox.remove(rows.slice(0, 400).map(({ row }) => row))
  expect(open.statements).toHaveLength(1)
  expect((await open.outbox.read(9)).map(({ row }) => row)).toEqual([401n])
  await open.commit()
})

test('a transaction that wrote first and commits last: its rows are sent all the same, at the next look', async () => {
  const stores = await StoresOnPostgres.create()
  const slow = await stores.begin()
  await append(slow, 'slow')
  await stores.write((open) => append(open, 'quick'))
  const look = () => stores.write(({ outbox }) => outbox.read(10))
  const first = await look()
  expect(first.map((row) => row.envelope.id)).toEqual(['quick'])
  await slow.commit()
  await stores.write(({ outbox }) => outbox.remove(first.map(({ row }) => row)))
  expect((await look()).map((row) => row.envelope.id)).toEqual(['slow'])
})

test('who removes rows while some of them are being erased takes them in order: two never wait in a circle', async () => {
  const stores = await StoresOnPostgres.create()
  await stores.write((open) => append(open, 'a', 'b', 'c'))
  // Now it lies behind the others.
  await stores.rows("update {s}.outbox set cause = 'moved' where outbox = 1")
  const erasing = await stores.begin()
  const target = { topic: 'orders', key: 'a' }
  const how = { by: 'o', reason: undefined, nowMs: 1 }
  expect(await erasing.erasures.erase('outbox', target, [1], how)).toEqual({ outbox: 1 })
  const relay = await stores.begin()
  const removed = relay.outbox.remove([3n, 2n, 1n])
  await relay.blocked()
  // It waits for the first, and has none of the others meanwhile.
  expect(await erasing.erasures.erase('outbox', target, [3, 2], how)).toEqual({ outbox: 2 })
  await erasing.commit()
  await removed
  await relay.commit()
  expect(await stores.column('select count(*)::int from {s}.outbox')).toEqual([0])
})

test('numbers are given in order, without gaps, in one statement however many; a row that an erasure takes meanwhile gets none', async () => {
  const stores = await StoresOnPostgres.create()
  await stores.rows(
    "insert into {s}.meta (name, value) values ('incarnation', 'inc') on conflict (name) do update set value = 'inc'",
  )
  await stores.write((open) => append(open, 'a', 'b', 'c'))
  const erasing = await stores.begin()
  const how = { by: 'o', reason: undefined, nowMs: 1 }
  expect(await erasing.erasures.erase('outbox', { topic: 'orders', key: 'a' }, [2], how)).toEqual({ outbox: 1 })
  const relay = await stores.begin()
  const numbering = relay.outbox.number(10)
  await relay.blocked()
  await erasing.commit()
  const numbers = (rows: readonly NumberedRow[]): unknown[] => rows.map(({ envelope: { id }, number }) => [id, number])
  const [oid] = await stores.column("select '{s}.outbox'::regclass::oid::int")
  const series = `inc.${oid}/orders/${partitionOf('a', 8)}`
  expect(numbers(await numbering)).toEqual([
    ['a', { series, number: 1n }],
    ['c', { series, number: 2n }],
  ])
  expect(relay.statements).toHaveLength(2)
  await relay.commit()
  await stores.write((open) => append(open, 'd'))
  const next = await stores.write(({ outbox }) => outbox.number(10))
  expect(numbers(next)).toEqual([
    ['a', { series, number: 1n }],
    ['c', { series, number: 2n }],
    ['d', { series, number: 3n }],
  ])
})
