import type { Access } from './maintenance-access.ts'
import { numberOf } from './sql.ts'

/** Noted this often. */
const everyMs = 60_000
/** What one look may add at most: a process that comes back after longer was frozen, or its machine asleep. */
const mostMs = 2 * everyMs

export interface Counted {
  readonly totalMs: number
  /** By this process's monotonic clock. */
  readonly atMs: number
}

/**
 * How long Onefold has been seen running on a schema, whatever the wall clock said: a number that only grows, and never faster
 * than time passes. Each process adds the time since it last looked, and only if nobody has added anything since: what
 * several processes have lived through together counts once.
 */
export class RunningTime {
  readonly #monotonicMs: () => number
  #seen: Counted | undefined

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs
  }

  /** Is there a minute to add? The first look, and every one that finds others at it, only begins to measure. */
  async due(reader: Access): Promise<boolean> {
    // The time before the total: what is added while we wait for the answer must not count twice.
    if (this.#seen === undefined) {
      const totalMs = await totalOf(reader)
      this.#seen = { totalMs, atMs: this.#monotonicMs() }
    }
    return this.#monotonicMs() - this.#seen.atMs > everyMs
  }

  /** Nothing is growing old: the time does not matter. */
  skip(): void {
    this.#seen = undefined
  }

  /** Inside a transaction. Answers the new total, or undefined when somebody else has counted meanwhile. */
  async add({ context: { sql } }: Access): Promise<Counted | undefined> {
    const seen = this.#seen
    if (seen === undefined) return undefined
    const atMs = this.#monotonicMs()
    const totalMs = seen.totalMs + Math.floor(Math.min(atMs - seen.atMs, mostMs))
    // Of two that add to the same total at once, one waits for the other, and then finds another total.
    const added = await sql.count(
      `insert into {s}.meta as m (name, value) select 'running_ms', $1::bigint::text
       where $2::bigint = 0 or exists (select 1 from {s}.meta where name = 'running_ms')
       on conflict (name) do update set value = excluded.value where m.value::bigint = $2::bigint returning 1`,
      totalMs,
      seen.totalMs,
    )
    return added === 1 ? { totalMs, atMs } : undefined
  }

  /** After the commit, with what `add` answered; with undefined it measures anew from the next look on. */
  adopt(added: Counted | undefined): void {
    this.#seen = added
  }
}

export async function totalOf({ context: { sql } }: Access): Promise<number> {
  const row = await sql.row("select value from {s}.meta where name = 'running_ms'")
  return row === undefined ? 0 : numberOf(row.value)
}
