import type { CronRecord, CronStore } from '../../schedule/schedule-store.ts'
import type { Statements } from './statements.ts'

export class SqliteCronStore implements CronStore {
  readonly #statements: Statements

  constructor(statements: Statements) {
    this.#statements = statements
  }

  /** One guarded statement: of two processes that saw the same last instant, one changes the row. */
  advance(
    schedule: Pick<CronRecord, 'name' | 'topic' | 'pattern' | 'timeZone'>,
    step: { fromMs: number | undefined; toMs: number; fired: number; missed: number },
  ): boolean {
    this.#statements.assertInTransaction()
    const { name, topic, pattern, timeZone } = schedule
    if (step.fromMs === undefined) {
      return (
        this.#statements
          .sql(
            'insert into {p}cron (topic, name, pattern, time_zone, last_ms, fired, missed) values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing',
          )
          .run(topic, name, pattern, timeZone, step.toMs, step.fired, step.missed).changes === 1
      )
    }
    return (
      this.#statements
        .sql(
          `update {p}cron set pattern = ?, time_zone = ?, last_ms = ?, fired = fired + ?, missed = missed + ?
           where topic = ? and name = ? and last_ms = ?`,
        )
        .run(pattern, timeZone, step.toMs, step.fired, step.missed, topic, name, step.fromMs).changes === 1
    )
  }

  list(): CronRecord[] {
    return this.#statements
      .sql(
        'select name, topic, pattern, time_zone as timeZone, last_ms as lastMs, fired, missed from {p}cron order by topic, name',
      )
      .all()
  }
}
