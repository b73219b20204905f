import { DatabaseSync } from 'node:sqlite'
import type { Pool } from 'pg'
import { expect } from 'vitest'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold } from '../../src/index.ts'
import type { DatabaseStatus } from '../../src/inspect/status.ts'
import type { MoveScene } from './move-scene.ts'
import { copyEffects, mails, onPostgres, orders, program, ticks, writePostgres } from './move-scene.ts'
import { stopAfterwards } from './temporary.ts'
import { until } from './until.ts'

const column = async (pool: Pool, sql: string): Promise<unknown[]> =>
  (await pool.query(sql)).rows.map((row) => Object.values(row)[0])

/** What is there, without the machinery it is in. */
function told({ topics, groups, scheduled, schedules, outbox, dedupWindows }: DatabaseStatus): unknown {
  const ageless = groups.map(({ oldestAgeMs: _, ...group }) => group)
  const windows = dedupWindows.map(({ topic, group, ids, generations, windowMs, maxIds, forgottenMs }) => ({
    ...{ topic, group, ids, generations, windowMs, maxIds, forgottenMs },
  }))
  return { topics, groups: ageless, scheduled, schedules, unsent: outbox.unsent, windows }
}

/**
 * The file has been copied: the user's tables follow, it is activated, and the program goes on. Over both databases every effect
 * is there once, in the order of its key; tokens, offsets, identities and what waits for a person are what they were.
 */
export async function goesOnAfterMove(scene: MoveScene, pool: Pool, activates: () => Promise<unknown>): Promise<void> {
  const { bank, reader, published } = scene
  // What was under way at the seal is answered now, to nobody.
  const askedBefore = bank.heard.length
  bank.answerAll()
  await until(() => scene.events.some(({ kind }) => kind === 'moved'), 'the app on the source says so')
  await scene.app.stop()
  bank.answers = true
  await expect(stopAfterwards(onefold({ database: postgres(pool) })).status()).rejects.toMatchObject({
    code: 'NOT_POSSIBLE',
    retry: 'later',
  })
  await copyEffects(reader, pool)
  await activates()

  const looking = stopAfterwards(onefold({ database: sqlite(scene.file) }))
  const offsets = 'select topic, partition, "offset", source, id, key, data from'
  const bySqlite = reader
    .prepare(`${offsets} onefold_message order by 1, 2, 3`)
    .all()
    .map((row) => Object.values(row).map(String))
  const byPostgres = (await pool.query(`${offsets} onefold.message order by topic collate "C", partition, "offset"`)).rows
  expect(byPostgres.map((row) => Object.values(row).map(String))).toEqual(bySqlite)

  // Time passes: what was put off is due.
  await pool.query('update onefold.schedule set due_ms = 1')
  await pool.query("update onefold.parked set due_ms = 1 where state = 'waiting'")
  const app = program(onPostgres(pool), { write: writePostgres, bank, fails: false })
  const items = await looking.attention.list({ state: 'all' })
  const there = await app.attention.list({ state: 'all' })
  expect(there.map(({ id, state, attempts }) => [id, state, attempts])).toEqual(
    items.map(({ id, state, attempts }) => [id, state, attempts]),
  )
  const open = items.filter(({ state }) => state === 'open')
  expect(open.map(({ envelope }) => envelope.id)).toEqual(['k0-2'])
  expect((await app.attention.show(open[0]?.id ?? '')).errorMessage).toBe('nul\uFFFDin what it says')
  expect((await app.attention.show(items[0]?.id ?? '')).audit).toEqual((await looking.attention.show(items[0]?.id ?? '')).audit)

  expect(told(await app.status())).toEqual(told(await looking.status()))
  // Rows that are gone had numbers that others refer to.
  for (const { name, seq } of reader.prepare("select name, seq from sqlite_sequence where name <> 'onefold_owner'").all()) {
    const table = `onefold.${String(name).replace('onefold_', '')}`
    const numbers = `pg_sequence_last_value(pg_get_serial_sequence('${table}', '${table.slice('onefold.'.length)}'))`
    expect([table, Number((await column(pool, `select ${numbers}`))[0])]).toEqual([table, Number(seq)])
  }

  await app.start()
  const repeats = await app.publishMany(
    orders,
    published.map((data) => ({ data })),
  )
  expect(new Set(repeats.map(({ status }) => status))).toEqual(new Set(['duplicate']))
  for (const value of [1, 2, 10, 4])
    expect((await app.publish(ticks, { value }, { sequence: BigInt(value) })).status).toBe('duplicate')
  expect((await app.publish(ticks, { value: 3 }, { sequence: 3n })).status).toBe('accepted')
  await expect(app.publish(orders, { id: 'k0-1', key: 'k0', number: 99 })).rejects.toMatchObject({ code: 'ID_REUSED' })
  expect(await app.attention.redrive(open[0]?.id ?? '', { by: 'Ada' })).toBe(true)
  await app.publish(orders, { id: 'new', key: 'k0', number: 100 })
  const expected = 3 * (published.length + 2) + 5 + 1
  await until(
    async () => Number((await column(pool, 'select count(*) from effect'))[0]) >= expected,
    async () => JSON.stringify((await pool.query('select grp, count(*), max(number) from effect group by 1')).rows),
    15_000,
  )
  await app.idle()
  await app.stop()

  const effects = (await pool.query('select grp, id, key, number from effect order by row')).rows
  const names = effects.map(({ grp, id }) => `${grp} ${id}`)
  expect(new Set(names).size).toBe(names.length)
  expect(names.length).toBe(expected)
  for (const [lane, rows] of Map.groupBy(effects, ({ grp, key }) => `${grp} ${key}`)) {
    if (lane.startsWith('count')) continue
    expect([lane, ...rows.map(({ number }) => number)]).toEqual([
      lane,
      ...rows.map(({ number }) => number).toSorted((a, b) => a - b),
    ])
  }
  // Every request of an order had the same token, on whichever database.
  const tokens = Map.groupBy(bank.heard, ({ id }) => id)
  expect([...tokens.values()].filter((heard) => new Set(heard.map(({ token }) => token)).size > 1)).toEqual([])
  const unknown = bank.heard
    .slice(0, askedBefore)
    .filter(({ id }) => bank.heard.slice(askedBefore).some((again) => again.id === id))
  expect(unknown.length).toBeGreaterThan(0)

  const relay = stopAfterwards(onefold({ database: postgres(pool), broker: inDatabaseBroker(sqlite(scene.outside)) }))
  relay.consume(mails, { group: 'mail', semantics: 'at-least-once', receive: () => undefined })
  await relay.start()
  await until(async () => (await relay.status()).outbox.unsent === 0, 'the outbox is sent')
  await relay.stop()
  const outside = new DatabaseSync(scene.outside)
  expect(
    outside
      .prepare('select id from onefold_message order by 1')
      .all()
      .map((row) => row.id),
  ).toEqual(['unsent-1', 'unsent-2'])
  outside.close()
}
