import { statSync } from 'node:fs'
import type { AppEvent } from '../../event.ts'
import { BloomFilter } from '../../inbox/bloom-filter.ts'
import type { DedupWindow, MaintenanceOptions } from '../database.ts'
import { offsetSpan } from './schema.ts'
import type { SqliteSession, SqliteStores } from './session.ts'
import { expire, hasExpired } from './window-maintenance.ts'

/** Rows removed per step: short transactions, so that publishers do not notice. */
const rangeRows = 1_000

/** The next sealed generation that has no filter yet, with the filter built outside the write lock. */
export function nextFilter(reader: SqliteStores): { generation: number; filter: Uint8Array } | undefined {
  const row = reader.statements
    .sql(
      'select generation from {p}generation where sealed_ms is not null and filter is null and dropped = 0 order by generation limit 1',
    )
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
    .sql('update {p}generation set filter = ? where generation = ? and sealed_ms is not null and dropped = 0')
    .run(built.filter, built.generation)
  session.windows.changed()
}

/** Is there anything to remove? Asked on the reader, so that an idle database is never locked or written for it. */
export function hasWork(reader: SqliteStores, options: MaintenanceOptions, window: DedupWindow): boolean {
  return hasExpired(reader, options.nowMs, window) || retirable(reader, options) !== undefined
}

/** One bounded step inside a write transaction; undefined when there was nothing to do. */
export function step(
  session: SqliteSession,
  options: MaintenanceOptions,
  window: DedupWindow,
): { readonly event: AppEvent | undefined } | undefined {
  const expired = expire(session, options, window)
  if (expired !== undefined) return expired
  const range = retirable(session, options)
  if (range === undefined) return undefined
  session.statements
    .sql('delete from {p}log where position > ? and position <= ?')
    .run(range.partition * offsetSpan + range.from, range.partition * offsetSpan + range.to)
  session.statements.sql('update {p}partition set tail = ? where partition = ?').run(range.to, range.partition)
  return { event: undefined }
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
