import type { DedupWindow } from '../database.ts'
import { generationRows } from '../window-rules.ts'
import type { Access, Write } from './maintenance-access.ts'
import { numberOf } from './sql.ts'

export interface Newest {
  readonly dedup: number
  readonly generation: number
}

/** Held until the end of the transaction by whoever changes what generations a window has. Writers of identities do not wait for it. */
export async function lockWindow({ context: { sql } }: Access, dedup: number): Promise<number | undefined> {
  const row = await sql.row('select current from {s}.dedup_window where dedup = $1::int for update', dedup)
  return row === undefined ? undefined : numberOf(row.current)
}

/**
 * The newest generation takes no more marks, and another one does. Answers false when somebody else has sealed it.
 *
 * A transaction that is under way may still write rows with the old mark: they are counted neither here nor anywhere, and
 * go with it; what its forgetting must know of them is learnt when they go (`removeRows`).
 */
export async function seal(session: Access, { dedup, generation }: Newest, nowMs: number): Promise<boolean> {
  if ((await lockWindow(session, dedup)) !== generation) return false
  const sealed = await session.context.sql.count(
    `with counted as (
       select count(*) as rows, max(time_ms) as newest_ms from {s}.identity where dedup = $1::int and generation = $2::int),
     sealed as (
       update {s}.generation g set sealed_ms = $3::bigint, rows = c.rows, newest_ms = c.newest_ms from counted c
       where g.generation = $2::int and g.sealed_ms is null returning g.dedup),
     fresh as (
       insert into {s}.generation (dedup, opened_ms) select dedup, $3::bigint from sealed returning generation, dedup)
     update {s}.dedup_window w set current = f.generation from fresh f where w.dedup = f.dedup returning 1`,
    dedup,
    generation,
    Math.floor(nowMs),
  )
  return sealed === 1
}

/** Open for an eighth of the window; or opened by a clock that was ahead, and would not be sealed before that time comes. */
const toSeal = `g.sealed_ms is null and abs(g.opened_ms - $1::bigint) > $2::bigint
  and exists (select 1 from {s}.identity i where i.dedup = g.dedup and i.generation = g.generation)`

/** Is there anything that grows old? If not, an idle schema is not written for the sake of its clock. */
export async function isAgeing({ context: { sql } }: Access, nowMs: number, window: DedupWindow): Promise<boolean> {
  const row = await sql.row(
    `select 1 from {s}.generation g where not g.dropped and (g.sealed_ms is not null or (${toSeal})) limit 1`,
    Math.floor(nowMs),
    Math.floor(window.ms / 8),
  )
  return row !== undefined
}

/** A newest generation that is to be sealed because of its age. */
export async function oldGeneration(
  { context: { sql } }: Access,
  nowMs: number,
  window: DedupWindow,
): Promise<Newest | undefined> {
  const row = await sql.row(
    `select g.dedup, g.generation from {s}.generation g join {s}.dedup_window w on w.current = g.generation
     where not g.dropped and ${toSeal} order by g.generation limit 1`,
    Math.floor(nowMs),
    Math.floor(window.ms / 8),
  )
  return row === undefined ? undefined : { dedup: numberOf(row.dedup), generation: numberOf(row.generation) }
}

/** From here on the running time counts for what has been sealed until now. */
export async function noteSealed({ context: { sql } }: Access, runningMs: number): Promise<void> {
  await sql.rows(
    'update {s}.generation set running_ms = $1::bigint where sealed_ms is not null and running_ms is null',
    Math.floor(runningMs),
  )
}

const firstMs = 5_000
const soonestMs = 1_000
const latestMs = 60_000
/** Of a window that nothing is added to. */
const idleMs = 600_000

interface Count {
  readonly generation: number
  readonly rows: number
  readonly atMs: number
  readonly dueMs: number
}

/**
 * Counts what the newest generations hold, and seals those that are full. Whoever adds a row counts it nowhere: all publishers of
 * a topic would wait for each other at that number. So rows are counted by looking, at half the time in which a
 * generation would be full at the pace it has been growing: about its size in rows per generation, a few times over.
 */
export class Sealing {
  readonly #monotonicMs: () => number
  #counts = new Map<number, Count>()

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs
  }

  /** One window; true when another one may be due. */
  async step(reader: Access, write: Write, nowMs: number): Promise<boolean> {
    const rows = await reader.context.sql.rows(
      'select w.dedup, w.current, g.rows from {s}.dedup_window w join {s}.generation g on g.generation = w.current order by w.dedup',
    )
    const atMs = this.#monotonicMs()
    const counts = new Map<number, Count>()
    let due: (Newest & { readonly stored: number }) | undefined
    for (const row of rows) {
      const [dedup, generation, stored] = [numberOf(row.dedup), numberOf(row.current), numberOf(row.rows)]
      const known = this.#counts.get(dedup)
      const count = known?.generation === generation ? known : undefined
      if (count !== undefined) counts.set(dedup, count)
      // Somebody else has counted: that will do for us as well.
      if (count !== undefined && stored > count.rows) counts.set(dedup, counted(count, generation, stored, atMs))
      else if (due === undefined && (count === undefined || count.dueMs <= atMs)) due = { dedup, generation, stored }
    }
    this.#counts = counts
    if (due === undefined) return false
    await this.#count(reader, write, due, nowMs)
    return true
  }

  async #count(reader: Access, write: Write, newest: Newest & { readonly stored: number }, nowMs: number): Promise<void> {
    const { dedup, generation, stored } = newest
    const row = await reader.context.sql.row(
      `select count(*) as rows from (
         select 1 from {s}.identity where dedup = $1::int and generation = $2::int limit ${generationRows}) i`,
      dedup,
      generation,
    )
    const rows = numberOf(row?.rows ?? 0)
    if (rows >= generationRows) {
      await write((session) => seal(session, newest, nowMs))
      this.#counts.delete(dedup)
      return
    }
    if (rows !== stored)
      await write(({ context: { sql } }) =>
        sql.rows(
          'update {s}.generation set rows = $2::bigint where generation = $1::int and sealed_ms is null and rows <> $2::bigint',
          generation,
          rows,
        ),
      )
    this.#counts.set(dedup, counted(this.#counts.get(dedup), generation, rows, this.#monotonicMs()))
  }
}

function counted(before: Count | undefined, generation: number, rows: number, atMs: number): Count {
  if (before === undefined) return { generation, rows, atMs, dueMs: atMs + firstMs }
  const elapsedMs = Math.max(1, atMs - before.atMs)
  const grown = rows - before.rows
  const waitMs =
    grown > 0
      ? Math.min(latestMs, (((generationRows - rows) / grown) * elapsedMs) / 2)
      : Math.min(idleMs, 2 * Math.max(firstMs, before.dueMs - before.atMs))
  return { generation, rows, atMs, dueMs: atMs + Math.max(soonestMs, waitMs) }
}
