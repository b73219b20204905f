import type { SqliteSession, SqliteStores } from './session.ts'

/** Noted this often. */
const everyMs = 60_000
/** What one look may add at most: a process that comes back after longer was frozen, or its machine asleep. */
const mostMs = 2 * everyMs

const read = "select value from {p}meta where name = 'running_ms'"

/**
 * How long Onefold has been seen running on a file, whatever the wall clock said: a number in the file that only grows, and
 * never faster than time passes. Each process adds the time since it last looked, and only if nobody has added
 * anything since: what several processes have lived through together counts once.
 */
export class RunningTime {
  readonly #monotonicMs: () => number
  #seen: { readonly totalMs: number; readonly atMs: number } | undefined

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs
  }

  /** Is there a minute to add? The first look, and every one that finds others at it, only begins to measure. */
  due(reader: SqliteStores): boolean {
    this.#seen ??= { totalMs: totalOf(reader), atMs: this.#monotonicMs() }
    return this.#monotonicMs() - this.#seen.atMs > everyMs
  }

  /** Nothing in the file is growing old: the time does not matter. */
  skip(): void {
    this.#seen = undefined
  }

  /** Inside a write transaction. Answers the new total, or undefined when somebody else has counted meanwhile. */
  add(session: SqliteSession): { readonly totalMs: number; readonly atMs: number } | undefined {
    const seen = this.#seen
    if (seen === undefined || totalOf(session) !== seen.totalMs) return undefined
    const atMs = this.#monotonicMs()
    const totalMs = seen.totalMs + Math.floor(Math.min(atMs - seen.atMs, mostMs))
    session.statements
      .sql("insert into {p}meta (name, value) values ('running_ms', ?) on conflict do update set value = excluded.value")
      .run(totalMs)
    return { totalMs, atMs }
  }

  /** After the commit, with what `add` answered; with undefined it measures anew from the next look on. */
  adopt(added: { readonly totalMs: number; readonly atMs: number } | undefined): void {
    this.#seen = added
  }
}

export function totalOf({ statements }: SqliteStores): number {
  return statements.sql(read).get<{ value: number }>()?.value ?? 0
}
