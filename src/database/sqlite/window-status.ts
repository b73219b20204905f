import type { DedupWindowStatus } from '../../inspect/status.ts'
import type { OldestGeneration } from '../window-rules.ts'
import { headroomOf } from '../window-rules.ts'
import { totalOf } from './running-time.ts'
import type { SqliteStores } from './session.ts'
import { storedWindow } from './window-maintenance.ts'

interface WindowRow {
  readonly topic: string
  readonly grp: string
  readonly forgotten_ms: number | null
  readonly generations: number
  readonly ids: number
  readonly oldest: number | null
}

/** How far every dedup window reaches back, and how long that will last. */
export function readWindows(stores: SqliteStores, nowMs: number): DedupWindowStatus[] {
  const { statements } = stores
  const configured = storedWindow(stores)
  const runningMs = totalOf(stores)
  return statements
    .sql(
      `select w.topic, w.grp, w.forgotten_ms, count(g.generation) as generations, coalesce(sum(g.rows), 0) as ids,
         min(g.generation) as oldest
       from {p}window w left join {p}generation g on g.window = w.window and g.dropped = 0
       group by w.window order by w.topic, w.grp`,
    )
    .all<WindowRow>()
    .map((row) => {
      const oldest =
        row.oldest === null
          ? undefined
          : statements
              .sql('select opened_ms, sealed_ms, running_ms, rows from {p}generation where generation = ?')
              .get<OldestGeneration>(row.oldest)
      const liveMs = oldest === undefined ? 0 : Math.max(0, nowMs - oldest.opened_ms)
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
        headroom:
          configured === undefined ? { ids: null, ms: null } : headroomOf(configured, row.ids, oldest, { nowMs, runningMs }),
      }
    })
}
