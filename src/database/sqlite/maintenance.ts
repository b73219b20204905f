import { statSync } from 'node:fs'
import { BloomFilter } from '../../inbox/bloom-filter.ts'
import type { DedupWindow, MaintenanceOptions } from '../database.ts'
import { offsetSpan } from './schema.ts'
import type { SqliteSession, SqliteStores } from './session.ts'

/** Rows removed per step: short transactions, so that publishers do not notice. */
const rangeRows = 1_000

/** The next sealed generation that has no filter yet, with the filter built outside the write lock. */
export function nextFilter(reader: SqliteStores): { generation: number; filter: Uint8Array } | undefined {
  const row = reader.statements
    .sql('select generation from {p}generation where sealed_ms is not null and filter is null order by generation limit 1')
    .get<{ generation: number }>()
  if (row === undefined) return undefined
  const keys = reader.statements.arrays('select key from {p}identity where generation = ?').all<[Uint8Array]>(row.generation)
  return {
    generation: row.generation,
    filter: BloomFilter.of(
      keys.map((entry) => entry[0]),
      keys.length,
    ).toBytes(),
  }
}

export function storeFilter(session: SqliteSession, built: { generation: number; filter: Uint8Array }): void {
  session.statements
    .sql('update {p}generation set filter = ? where generation = ? and sealed_ms is not null')
    .run(built.filter, built.generation)
  session.windows.changed()
}

/** Is there anything to remove? Asked on the reader, so that an idle database is never locked or written for it. */
export function hasWork(reader: SqliteStores, options: MaintenanceOptions, window: DedupWindow): boolean {
  return expiredGeneration(reader, options.nowMs, window) !== undefined || retirable(reader, options) !== undefined
}

/** One bounded step inside a write transaction; true when there may be more. */
export function step(session: SqliteSession, options: MaintenanceOptions, window: DedupWindow): boolean {
  const expired = expiredGeneration(session, options.nowMs, window)
  if (expired !== undefined) {
    const removed = session.statements
      .sql(
        'delete from {p}identity where (generation, source, key) in (select generation, source, key from {p}identity where generation = ? limit ?)',
      )
      .run(expired, rangeRows).changes
    if (removed < rangeRows) {
      session.statements.sql('delete from {p}generation where generation = ?').run(expired)
      session.windows.changed()
    }
    return true
  }
  const range = retirable(session, options)
  if (range === undefined) return false
  session.statements
    .sql('delete from {p}log where position > ? and position <= ?')
    .run(range.partition * offsetSpan + range.from, range.partition * offsetSpan + range.to)
  session.statements.sql('update {p}partition set tail = ? where partition = ?').run(range.to, range.partition)
  return true
}

/**
 * The oldest sealed generation beyond the window, by size or by time. By time only when the wall clock *and* the time
 * that Onefold has been seen running since both say so: a clock that jumps ahead closes nothing.
 */
function expiredGeneration(stores: SqliteStores, nowMs: number, window: DedupWindow): number | undefined {
  const rows = stores.statements
    .sql('select generation, window, sealed_ms, observed_ms, rows from {p}generation order by window, generation desc')
    .all<{ generation: number; window: number; sealed_ms: number | null; observed_ms: number; rows: number }>()
  let current = -1
  let newer = 0
  for (const row of rows) {
    if (row.window !== current) {
      current = row.window
      newer = 0
    }
    const tooMany = newer >= window.maxIds
    const tooOld = row.sealed_ms !== null && nowMs - row.sealed_ms > window.ms && row.observed_ms > window.ms
    if (row.sealed_ms !== null && (tooMany || tooOld)) return row.generation
    newer += row.rows
  }
  return undefined
}

/** Adds to every sealed generation the time this process has been running since it last said so. */
export function observe(session: SqliteSession, elapsedMs: number): void {
  session.statements
    .sql('update {p}generation set observed_ms = observed_ms + ? where sealed_ms is not null')
    .run(Math.round(elapsedMs))
}

/** Seals the newest generation of every window when it has been open for an eighth of the window. */
export function sealOld(session: SqliteSession, nowMs: number, window: DedupWindow): void {
  const old = session.statements
    .sql('select generation, window from {p}generation where sealed_ms is null and rows > 0 and opened_ms < ?')
    .all<{ generation: number; window: number }>(nowMs - window.ms / 8)
  for (const { generation, window: number } of old) {
    session.statements.sql('update {p}generation set sealed_ms = ? where generation = ?').run(nowMs, generation)
    session.statements.sql('insert into {p}generation (window, opened_ms) values (?, ?)').run(number, nowMs)
  }
  if (old.length > 0) session.windows.changed()
}

/** Applied by every group and older than the topic keeps messages: a small range at a partition's tail. */
function retirable(
  stores: SqliteStores,
  options: MaintenanceOptions,
): { partition: number; from: number; to: number } | undefined {
  const partitions = stores.statements
    .sql(
      `select p.partition, p.tail, t.retention_ms, (select min(coalesce(c."offset", 0)) from {p}subscription s left join {p}checkpoint c
           on c.subscription = s.subscription and c.partition = cast(p.number as text) where s.topic = t.name) as slowest
         from {p}topic t join {p}partition p using (topic)`,
    )
    .all<{ partition: number; tail: number; retention_ms: number; slowest: number | null }>()
  for (const { partition, tail, retention_ms: retentionMs, slowest } of partitions) {
    // Without any group nobody has applied anything: all is kept.
    if (slowest === null || slowest <= tail) continue
    const base = partition * offsetSpan
    const first = stores.statements
      .sql('select time_ms from {p}log where position > ? and position <= ? order by position limit 1')
      .get<{ time_ms: number }>(base + tail, base + slowest)
    if (first === undefined || first.time_ms >= options.nowMs - retentionMs) continue
    const rows = stores.statements
      .sql('select position, time_ms from {p}log where position > ? and position <= ? order by position limit ?')
      .all<{ position: number; time_ms: number }>(base + tail, base + slowest, rangeRows)
    const firstKept = rows.findIndex((row) => row.time_ms >= options.nowMs - retentionMs)
    const last = firstKept === -1 ? rows.at(-1) : rows[firstKept - 1]
    if (last !== undefined) return { partition, from: tail, to: last.position - base }
  }
  return undefined
}

export function walBytes(file: string): number {
  return statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0
}
