import type { ScheduleStore } from '../../schedule/schedule-store.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeOf, envelopeSelect } from './envelope-row.ts'
import type { SqliteLogStore } from './log-store.ts'
import type { Statements } from './statements.ts'
import { limited } from './statements.ts'
import type { SqliteTopicRecord, SqliteTopicStore } from './topic-store.ts'

export class SqliteScheduleStore implements ScheduleStore {
  readonly #statements: Statements
  readonly #topics: SqliteTopicStore
  readonly #log: SqliteLogStore
  readonly #touched: Set<string>

  constructor(statements: Statements, topics: SqliteTopicStore, log: SqliteLogStore, touched: Set<string>) {
    this.#statements = statements
    this.#topics = topics
    this.#log = log
    this.#touched = touched
  }

  nextDueMs(): number | undefined {
    return this.#statements.sql('select min(due_ms) as due from {p}schedule').get<{ due: number | null }>()?.due ?? undefined
  }

  /** The delete is the claim: of two processes that try, one finds the row. */
  release(nowMs: number, limit: number): string[] {
    const names = new Set<string>()
    const rows = this.#statements
      .sql(
        `select schedule, name, ${envelopeSelect} from {p}schedule s join {p}topic t on t.topic = s.topic where due_ms <= ? order by due_ms, schedule ${limited}`,
      )
      .all<EnvelopeRow & { schedule: number; name: string }>(nowMs, limit)
    for (const row of rows) {
      if (this.#statements.sql('delete from {p}schedule where schedule = ?').run(row.schedule).changes !== 1) continue
      this.#log.write(this.#topics.get(row.name) as SqliteTopicRecord, [envelopeOf(row.name, row)])
      names.add(row.name)
      this.#touched.add(row.name)
    }
    return [...names]
  }
}
