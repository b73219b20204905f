import type { CronRecord, CronStore } from '../../schedule/schedule-store.ts'
import type { StoreContext } from './known.ts'
import { numberOf, textOf } from './sql.ts'

export class PostgresCronStore implements CronStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** One guarded statement: of two processes that saw the same last instant, one changes the row, when the other has ended. */
  async advance(
    { name, topic, pattern, timeZone }: Pick<CronRecord, 'name' | 'topic' | 'pattern' | 'timeZone'>,
    step: { fromMs: number | undefined; toMs: number; fired: number; missed: number },
  ): Promise<boolean> {
    const { sql } = this.#context
    const values = [topic, name, pattern, timeZone, Math.floor(step.toMs), step.fired, step.missed]
    if (step.fromMs === undefined) {
      const made = await sql.count(
        `insert into {s}.cron (topic, name, pattern, time_zone, last_ms, fired, missed)
         values ($1::text, $2::text, $3::text, $4::text, $5::bigint, $6::bigint, $7::bigint) on conflict do nothing returning 1`,
        ...values,
      )
      return made === 1
    }
    const moved = await sql.count(
      `update {s}.cron set pattern = $3::text, time_zone = $4::text, last_ms = $5::bigint, fired = fired + $6::bigint,
         missed = missed + $7::bigint where topic = $1::text and name = $2::text and last_ms = $8::bigint returning 1`,
      ...values,
      step.fromMs,
    )
    return moved === 1
  }

  async list(): Promise<CronRecord[]> {
    const rows = await this.#context.sql.rows(
      'select name, topic, pattern, time_zone, last_ms, fired, missed from {s}.cron order by topic, name',
    )
    return rows.map((row) => ({
      name: textOf(row.name),
      topic: textOf(row.topic),
      pattern: textOf(row.pattern),
      timeZone: textOf(row.time_zone),
      lastMs: numberOf(row.last_ms),
      fired: numberOf(row.fired),
      missed: numberOf(row.missed),
    }))
  }
}
