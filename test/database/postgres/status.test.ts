import { Pool } from 'pg'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { PostgresTx } from '../../../src/database/postgres/index.ts'
import { postgres } from '../../../src/database/postgres/index.ts'
import { generationRows } from '../../../src/database/window-rules.ts'
import type { App } from '../../../src/index.ts'
import { onefold, topic } from '../../../src/index.ts'
import type { TemporaryPostgres } from '../../support/postgres.ts'
import { temporaryPostgres } from '../../support/postgres.ts'
import { PostgresWindows } from '../../support/postgres-windows.ts'
import { stopAfterwards } from '../../support/temporary.ts'
import { minuteMs, published } from '../../support/window-database.ts'

vi.setConfig({ testTimeout: 30_000 })

const orders = topic<{ id: string }>('orders', { partitions: 2, id: (order) => order.id, key: (order) => order.id })

function appOn(server: TemporaryPostgres): App<PostgresTx> {
  const pool = new Pool({ connectionString: server.url })
  onTestFinished(() => pool.end())
  return stopAfterwards(onefold({ source: 'shop', database: postgres(pool, { migrations: 'apply' }) }))
}
const some = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => ({ data: { id: `${from + index}` } }))

test('tells of the server without its password, of the size of the tables, and of what has been published', async () => {
  const server = await temporaryPostgres()
  const app = appOn(server)
  await app.publishMany(orders, some(0, 10))
  expect((await app.publish(orders, { id: '3' })).status).toBe('duplicate')
  const { database, topics, groups, owners } = await app.status()
  const url = new URL(server.url)
  expect(database).toMatchObject({
    file: `${url.hostname}:${url.port}${url.pathname}`,
    schemaVersion: 1,
    walBytes: 0,
    writeLockHolder: null,
  })
  expect(database.incarnation).toMatch(/^[0-9a-f-]{36}$/)
  expect(database.bytes).toBeGreaterThan(100_000)
  // None has an offset yet: no group has come to them.
  expect(topics).toMatchObject([{ name: 'orders', messages: 10, accepted: 10, duplicates: 1, keyed: true, idReuse: 'error' }])
  const [first, second] = topics[0]?.partitions ?? []
  expect([first?.firstOffset, second?.firstOffset]).toEqual(['1', '1'])
  expect(Number(first?.lastOffset) + Number(second?.lastOffset)).toBe(10)
  expect(groups).toEqual([])
  expect(owners).toEqual([])
})

test('what a group has not come to counts, with an offset or without; what is not committed does not', async () => {
  const server = await temporaryPostgres()
  const app = appOn(server)
  app.consume(orders, 'ship', () => undefined)
  await app.start()
  await app.publishMany(orders, some(0, 10))
  await app.idle()
  const ship = async () => (await app.status()).groups[0]
  expect(await ship()).toMatchObject({
    topic: 'orders',
    group: 'ship',
    semantics: 'effectively-once',
    applied: 10,
    lag: 0,
    oldestAgeMs: null,
  })
  const partitions = (await ship())?.partitions ?? []
  expect(partitions.map(({ partition, epoch, owner }) => ({ partition, epoch, owner }))).toEqual([
    { partition: '0', epoch: '1', owner: 1 },
    { partition: '1', epoch: '1', owner: 1 },
  ])
  const last = (await app.status()).topics[0]?.partitions.map(({ lastOffset }) => lastOffset)
  expect(partitions.map(({ offset }) => offset)).toEqual(last)
  expect((await app.status()).owners).toMatchObject([{ owner: 1, pid: process.pid, alive: 'alive' }])
  await app.stop()

  const other = appOn(server)
  const client = await server.pool.connect()
  await client.query(
    "begin; insert into onefold.log (partition, source, id, time_ms, data) select 1, 's', n::text, 0, '1' from generate_series(1, 3) n",
  )
  await other.publishMany(orders, some(10, 15))
  const status = await other.status()
  expect(status.groups).toMatchObject([{ lag: 5, applied: 10 }])
  expect(status.topics).toMatchObject([{ messages: 15, accepted: 15 }])
  expect(status.groups[0]?.oldestAgeMs).toBeGreaterThanOrEqual(0)
  expect(status.groups[0]?.oldestAgeMs).toBeLessThan(60_000)
  // Offsets are given while it is open: it has passed them by, and what it wrote is found all the same.
  await server.pool.query('select onefold.give_offsets(1, false)')
  await client.query('commit')
  expect((await other.status()).groups).toMatchObject([{ lag: 8 }])
  await client.query('select onefold.give_offsets(1, false)')
  client.release()
  expect((await other.status()).groups).toMatchObject([{ lag: 8 }])
  expect((await other.status()).topics).toMatchObject([{ messages: 18, accepted: 18 }])
})

test('how far a window reaches back and how much room is left, by ids and by time', async () => {
  const process = await PostgresWindows.open({ ms: 16 * minuteMs, maxIds: 100 })
  const windowOf = async () => (await process.database.status()).dedupWindows[0]
  await process.claim(published('a', process.nowMs))
  expect(await windowOf()).toMatchObject({
    topic: 't',
    group: 'g',
    windowMs: null,
    maxIds: null,
    headroom: { ids: null, ms: null },
  })
  await process.maintain()
  expect(await windowOf()).toMatchObject({
    name: 't/g',
    ids: 1,
    generations: 1,
    windowMs: 16 * minuteMs,
    maxIds: 100,
    shrunk: false,
    forgottenMs: null,
    headroom: { ids: 100 + generationRows - 1 },
  })
  await process.run(2 * minuteMs)
  await process.claim(published('b', process.nowMs), published('c', process.nowMs))
  const later = await windowOf()
  expect(later).toMatchObject({ ids: 3, generations: 2, shrunk: false, headroom: { ids: 98 } })
  expect(later?.liveMs).toBeGreaterThan(2 * minuteMs)
  expect(later?.headroom.ms).toBeGreaterThan(10 * minuteMs)
  expect(later?.headroom.ms).toBeLessThanOrEqual(16 * minuteMs)
})

test('what is told of the time left is kept: it forgets then, not before', async () => {
  const process = await PostgresWindows.open({ ms: 16 * minuteMs })
  const windowOf = async () => (await process.database.status()).dedupWindows[0]!
  await process.claim(published('a', process.nowMs))
  await process.run(2 * minuteMs)
  const saidMs = (await windowOf()).headroom.ms ?? 0
  const fromMs = process.nowMs
  while ((await windowOf()).forgottenMs === null) await process.run(minuteMs)
  expect(process.nowMs - fromMs).toBeGreaterThanOrEqual(saidMs)
  expect(process.nowMs - fromMs).toBeLessThan(saidMs + 5 * minuteMs)
  expect(await windowOf()).toMatchObject({ ids: 0, shrunk: false })
})
