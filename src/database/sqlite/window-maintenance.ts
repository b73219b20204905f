import type { AppEvent } from '../../event.ts'
import type { DedupWindow, MaintenanceOptions } from '../database.ts'
import type { StoredWindow } from '../window-rules.ts'
import { believedAheadMs, rangeRows, shrunkEvent } from '../window-rules.ts'
import { totalOf } from './running-time.ts'
import type { SqliteSession, SqliteStores } from './session.ts'

/** What whoever last looked after the file had configured; undefined as long as nobody has. */
export function storedWindow({ statements }: SqliteStores): StoredWindow | undefined {
  const rows = statements
    .sql("select name, value from {p}meta where name in ('window_ms', 'window_max_ids')")
    .all<{ name: string; value: number }>()
  const ms = rows.find((row) => row.name === 'window_ms')?.value
  const maxIds = rows.find((row) => row.name === 'window_max_ids')?.value
  return ms === undefined || maxIds === undefined ? undefined : { ms, maxIds }
}

export function storeWindow({ statements }: SqliteSession, window: DedupWindow): void {
  const set = statements.sql('insert into {p}meta (name, value) values (?, ?) on conflict do update set value = excluded.value')
  set.run('window_ms', window.ms)
  set.run('window_max_ids', window.maxIds)
}

/** Open for an eighth of the window; or opened by a clock that was ahead, and would not be sealed before that time comes. */
const toSeal = 'sealed_ms is null and rows > 0 and abs(opened_ms - ?1) > ?2'

/** Is there anything that grows old? If not, an idle file is not written for the sake of its clock. */
export function isAgeing({ statements }: SqliteStores, nowMs: number, window: DedupWindow): boolean {
  return (
    statements
      .sql(`select 1 from {p}generation where dropped = 0 and (sealed_ms is not null or (${toSeal})) limit 1`)
      .get(nowMs, window.ms / 8) !== undefined
  )
}

/** From here on the running time counts for what has been sealed until now. */
export function noteSealed({ statements }: SqliteSession, runningMs: number): void {
  statements.sql('update {p}generation set running_ms = ? where sealed_ms is not null and running_ms is null').run(runningMs)
}

/** Seals the newest generation of every window when it is time. */
export function sealOld(session: SqliteSession, nowMs: number, window: DedupWindow): void {
  const old = session.statements
    .sql(`select generation, window from {p}generation where ${toSeal}`)
    .all<{ generation: number; window: number }>(nowMs, window.ms / 8)
  for (const { generation, window: number } of old) {
    session.statements.sql('update {p}generation set sealed_ms = ? where generation = ?').run(nowMs, generation)
    session.statements.sql('insert into {p}generation (window, opened_ms) values (?, ?)').run(number, nowMs)
  }
  if (old.length > 0) session.windows.changed()
}

interface GenerationRow {
  readonly generation: number
  readonly window: number
  readonly opened_ms: number
  readonly sealed_ms: number | null
  readonly running_ms: number | null
  readonly newest_ms: number | null
  readonly rows: number
}

interface Expired extends GenerationRow {
  readonly sealed_ms: number
  /** Forgotten before the configured time, because newer ids need the room: the opening of the oldest that stays. */
  readonly shrunkToMs: number | undefined
}

export function hasExpired(reader: SqliteStores, nowMs: number, window: DedupWindow): boolean {
  return droppedGeneration(reader) !== undefined || expiredGeneration(reader, nowMs, window) !== undefined
}

/** One bounded step: forgets a generation, or removes some rows of one that is forgotten. Undefined: nothing to do. */
export function expire(
  session: SqliteSession,
  { nowMs }: MaintenanceOptions,
  window: DedupWindow,
): { readonly event: AppEvent | undefined } | undefined {
  const dropped = droppedGeneration(session)
  if (dropped !== undefined) {
    removeRows(session, dropped)
    return { event: undefined }
  }
  const expired = expiredGeneration(session, nowMs, window)
  if (expired === undefined) return undefined
  forget(session, expired)
  return { event: expired.shrunkToMs === undefined ? undefined : shrunk(session, expired, nowMs - expired.shrunkToMs, window) }
}

/**
 * Forgets all of a generation at once, and remembers up to when: a message published up to then, and not known, may have
 * been received. Only then do its rows go. Told by what the producers stated, so that a group that reads a backlog is not
 * late with all of it, and a producer whose clock is behind, or ours, changes nothing.
 */
function forget({ statements, windows }: SqliteSession, expired: Expired): void {
  const { generation, window, newest_ms: newestMs } = expired
  const endMs = Math.max(expired.opened_ms, expired.sealed_ms)
  const forgottenMs = newestMs === null ? endMs : Math.min(newestMs, endMs + believedAheadMs)
  statements.sql('update {p}generation set dropped = 1, filter = null where generation = ?').run(generation)
  statements
    .sql('update {p}window set forgotten_ms = max(coalesce(forgotten_ms, ?1), ?1) where window = ?2')
    .run(forgottenMs, window)
  windows.changed()
}

function droppedGeneration({ statements }: SqliteStores): number | undefined {
  return statements.sql('select generation from {p}generation where dropped = 1 limit 1').get<{ generation: number }>()
    ?.generation
}

function removeRows({ statements }: SqliteSession, generation: number): void {
  const removed = statements
    .sql(
      'delete from {p}identity where (generation, source, key) in (select generation, source, key from {p}identity where generation = ? limit ?)',
    )
    .run(generation, rangeRows).changes
  if (removed < rangeRows) statements.sql('delete from {p}generation where generation = ?').run(generation)
}

/**
 * The oldest sealed generation of a window, when it is beyond it by size or by time. By time only when the wall clock *and*
 * the time that Onefold has been seen running since both say so: a clock that jumps ahead closes nothing. One that was ahead
 * when a generation was sealed does not keep it for ever: it was sealed before the newer ones were.
 */
function expiredGeneration(stores: SqliteStores, nowMs: number, window: DedupWindow): Expired | undefined {
  const runningMs = totalOf(stores)
  const rows = stores.statements
    .sql(
      `select generation, window, opened_ms, sealed_ms, running_ms, newest_ms, rows from {p}generation where dropped = 0
       order by window, generation desc`,
    )
    .all<GenerationRow>()
  let expired: Expired | undefined
  let newer: GenerationRow | undefined
  let newerIds = 0
  let sealedMs = Number.POSITIVE_INFINITY
  for (const row of rows) {
    if (row.window !== newer?.window) {
      if (expired !== undefined) return expired
      newer = undefined
      newerIds = 0
      sealedMs = Number.POSITIVE_INFINITY
    }
    if (row.sealed_ms !== null) {
      sealedMs = Math.min(sealedMs, row.sealed_ms)
      const tooOld = nowMs - sealedMs > window.ms && row.running_ms !== null && runningMs - row.running_ms > window.ms
      if (tooOld || newerIds >= window.maxIds)
        expired = { ...row, sealed_ms: row.sealed_ms, shrunkToMs: tooOld ? undefined : (newer?.opened_ms ?? nowMs) }
    }
    newer = row
    newerIds += row.rows
  }
  return expired
}

function shrunk({ statements }: SqliteSession, expired: Expired, liveMs: number, window: DedupWindow): AppEvent {
  const { topic, grp } = statements
    .sql('select topic, grp from {p}window where window = ?')
    .get<{ topic: string; grp: string }>(expired.window) ?? { topic: '', grp: '' }
  return shrunkEvent({ topic, group: grp, rows: expired.rows, liveMs }, window)
}
