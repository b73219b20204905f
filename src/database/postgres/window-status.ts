import type { DedupWindowStatus } from '../../inspect/status.ts'
import type { StoredWindow } from '../window-rules.ts'
import { headroomOf } from '../window-rules.ts'

/** Counted one by one up to here; of a generation that is larger, what was last counted is told. */
const countedRows = 1_000

/** `generations`: those that are remembered; of them, `oldest`. */
export const windowsSql = `
  select w.topic, w.grp, w.forgotten_ms, g.generations, g.ids, o.opened_ms, o.sealed_ms, o.running_ms,
    case when o.generation = w.current then n.rows else o.rows end as oldest_rows
  from {s}.dedup_window w
  cross join lateral (
    select case when c.rows >= ${countedRows} then c.rows else (
      select count(*) from (select 1 from {s}.identity i where i.dedup = w.dedup and i.generation = w.current limit ${countedRows}) i) end as rows
    from {s}.generation c where c.generation = w.current) n
  cross join lateral (
    select count(*) as generations, min(generation) as oldest,
      coalesce(sum(case when generation = w.current then n.rows else rows end), 0)::bigint as ids
    from {s}.generation where dedup = w.dedup and not dropped) g
  left join {s}.generation o on o.generation = g.oldest
  order by w.topic, w.grp`

export interface WindowRow {
  readonly topic: string
  readonly grp: string
  readonly forgotten_ms: number | null
  readonly generations: number
  readonly ids: number
  readonly opened_ms: number | null
  readonly sealed_ms: number | null
  readonly running_ms: number | null
  readonly oldest_rows: number | null
}

/** How far a dedup window reaches back, and how long that will last. */
export function windowStatus(
  row: WindowRow,
  { configured, nowMs, runningMs }: { configured: StoredWindow | undefined; nowMs: number; runningMs: number },
): DedupWindowStatus {
  const { opened_ms: openedMs, sealed_ms, running_ms, oldest_rows: oldestRows } = row
  const oldest = openedMs === null ? undefined : { opened_ms: openedMs, sealed_ms, running_ms, rows: oldestRows ?? 0 }
  const liveMs = openedMs === null ? 0 : Math.max(0, nowMs - openedMs)
  return {
    name: row.grp === '' ? row.topic : `${row.topic}/${row.grp}`,
    topic: row.topic,
    group: row.grp === '' ? null : row.grp,
    ids: row.ids,
    generations: row.generations,
    liveMs,
    windowMs: configured?.ms ?? null,
    maxIds: configured?.maxIds ?? null,
    shrunk: configured !== undefined && row.forgotten_ms !== null && liveMs < configured.ms,
    forgottenMs: row.forgotten_ms,
    headroom: configured === undefined ? { ids: null, ms: null } : headroomOf(configured, row.ids, oldest, { nowMs, runningMs }),
  }
}
