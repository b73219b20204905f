import { believedAheadMs, rangeRows } from '../window-rules.ts'
import type { Access } from './maintenance-access.ts'
import { lockWindow } from './sealing.ts'
import { numberOf } from './sql.ts'

export interface Dropped {
  readonly dedup: number
  readonly generation: number
}

export async function droppedGeneration({ context: { sql } }: Access): Promise<Dropped | undefined> {
  const row = await sql.row('select dedup, generation from {s}.generation where dropped order by generation limit 1')
  return row === undefined ? undefined : { dedup: numberOf(row.dedup), generation: numberOf(row.generation) }
}

/**
 * Removes some rows of a forgotten generation. Until then they are known as ever; in the commit that removes them the window
 * comes to know how new they were, also those that a transaction wrote after the generation was counted: a repeat that
 * finds its place empty finds itself late.
 */
export async function removeRows(session: Access, { dedup, generation }: Dropped): Promise<void> {
  const { sql } = session.context
  if ((await lockWindow(session, dedup)) === undefined) return
  const row = await sql.row(
    `with gone as (
       delete from {s}.identity where ctid = any (array(
         select ctid from {s}.identity where dedup = $1::int and generation = $2::int limit ${rangeRows} for update))
       returning time_ms),
     counted as (select count(*) as rows, max(time_ms) as newest_ms from gone),
     noted as (
       update {s}.dedup_window w set forgotten_ms = greatest(w.forgotten_ms, least(c.newest_ms, n.end_ms + ${believedAheadMs}))
       from counted c, (select greatest(opened_ms, sealed_ms) as end_ms from {s}.generation where generation = $2::int) n
       where w.dedup = $1::int and (w.forgotten_ms is null or least(c.newest_ms, n.end_ms + ${believedAheadMs}) > w.forgotten_ms))
     select rows from counted`,
    dedup,
    generation,
  )
  if (numberOf(row?.rows) < rangeRows) await sql.rows('delete from {s}.generation where generation = $1::int', generation)
}

/** A window with rows whose mark is of a generation that has gone: a transaction took it, and committed only after that. */
export async function strayWindow({ context: { sql } }: Access): Promise<number | undefined> {
  const row = await sql.row(
    `select w.dedup from {s}.dedup_window w
     where exists (select 1 from {s}.identity i where i.dedup = w.dedup
       and i.generation < (select min(g.generation) from {s}.generation g where g.dedup = w.dedup)) limit 1`,
  )
  return row === undefined ? undefined : numberOf(row.dedup)
}

/** What was committed so late is as new as anything else: the newest generation takes some of it over. True: there may be more. */
export async function adoptStray(session: Access, dedup: number): Promise<boolean> {
  const current = await lockWindow(session, dedup)
  if (current === undefined) return false
  const adopted = await session.context.sql.count(
    `update {s}.identity set generation = $2::int where ctid = any (array(
       select ctid from {s}.identity where dedup = $1::int
         and generation < (select min(generation) from {s}.generation where dedup = $1::int) limit ${rangeRows} for update))
     returning 1`,
    dedup,
    current,
  )
  return adopted === rangeRows
}
