import type { AppEvent } from '../../event.ts'
import type { DedupWindow } from '../database.ts'
import { believedAheadMs, shrunkEvent } from '../window-rules.ts'
import type { Access } from './maintenance-access.ts'
import { totalOf } from './running-time.ts'
import { lockWindow } from './sealing.ts'
import { numberOf, numberOrNull, textOf } from './sql.ts'

interface Expired {
  readonly dedup: number
  readonly generation: number
  readonly rows: number
  readonly newestMs: number | undefined
  /** When it was closed, by the latest account. */
  readonly endMs: number
  /** Forgotten before the configured time, because newer ids need the room: the opening of the oldest that stays. */
  readonly shrunkToMs: number | undefined
}

/**
 * The oldest sealed generation of a window (of any, or of one), when it is beyond it by size or by time. By time only when the
 * wall clock *and* the time that Onefold has been seen running since both say so: a clock that jumps ahead closes nothing. One that
 * was ahead when a generation was sealed does not keep it for ever: it was sealed before the newer ones were.
 */
export async function expiredGeneration(
  stores: Access,
  nowMs: number,
  window: DedupWindow,
  dedup?: number,
): Promise<Expired | undefined> {
  const row = await stores.context.sql.row(
    `select e.dedup, e.generation, e.rows, e.newest_ms, greatest(e.opened_ms, e.sealed_ms) as end_ms, e.newer_opened_ms, e.too_old
     from (
       select g.*, sealed_ms is not null and running_ms is not null and $3::bigint - running_ms > $2::bigint
           and $1::bigint - min(sealed_ms) over newest_first > $2::bigint as too_old,
         sum(rows) over newest_first - rows as newer_ids, lag(opened_ms) over newest_first as newer_opened_ms
       from {s}.generation g where not dropped and ($5::int is null or dedup = $5::int)
       window newest_first as (partition by dedup order by generation desc)) e
     where e.sealed_ms is not null and (e.too_old or e.newer_ids >= $4::bigint) order by e.dedup, e.generation limit 1`,
    Math.floor(nowMs),
    Math.floor(window.ms),
    await totalOf(stores),
    Math.floor(window.maxIds),
    dedup ?? null,
  )
  if (row === undefined) return undefined
  return {
    dedup: numberOf(row.dedup),
    generation: numberOf(row.generation),
    rows: numberOf(row.rows),
    newestMs: numberOrNull(row.newest_ms) ?? undefined,
    endMs: numberOf(row.end_ms),
    shrunkToMs: row.too_old === true ? undefined : (numberOrNull(row.newer_opened_ms) ?? nowMs),
  }
}

/**
 * Forgets all of a generation at once, and remembers up to when: a message published up to then, and not known, may have
 * been received. Only then do its rows go. Told by what the producers stated, so that a group that reads a backlog is not
 * late with all of it, and a producer whose clock is behind, or ours, changes nothing.
 *
 * Looks again once the window is locked: of several processes one forgets, and tells of it.
 */
export async function forget(session: Access, dedup: number, nowMs: number, window: DedupWindow): Promise<AppEvent | undefined> {
  if ((await lockWindow(session, dedup)) === undefined) return undefined
  const expired = await expiredGeneration(session, nowMs, window, dedup)
  if (expired === undefined) return undefined
  const { generation, newestMs, endMs, rows, shrunkToMs } = expired
  const { sql } = session.context
  await sql.rows('update {s}.generation set dropped = true where generation = $1::int', generation)
  const row = await sql.row(
    'update {s}.dedup_window set forgotten_ms = greatest(forgotten_ms, $2::bigint) where dedup = $1::int returning topic, grp',
    dedup,
    newestMs === undefined ? endMs : Math.min(newestMs, endMs + believedAheadMs),
  )
  if (row === undefined || shrunkToMs === undefined) return undefined
  return shrunkEvent({ topic: textOf(row.topic), group: textOf(row.grp), rows, liveMs: nowMs - shrunkToMs }, window)
}
