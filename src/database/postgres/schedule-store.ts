import type { Envelope } from '../../message.ts'
import type { ScheduleStore } from '../../schedule/schedule-store.ts'
import { envelopeColumns, envelopeOf } from './envelope-row.ts'
import type { PostgresTopicRecord, StoreContext } from './known.ts'
import type { PostgresLogStore } from './log-store.ts'
import { numberOrNull, textOf } from './sql.ts'
import type { PostgresTopicStore } from './topic-store.ts'

export class PostgresScheduleStore implements ScheduleStore {
  readonly #context: StoreContext
  readonly #topics: PostgresTopicStore
  readonly #log: PostgresLogStore

  constructor(context: StoreContext, topics: PostgresTopicStore, log: PostgresLogStore) {
    this.#context = context
    this.#topics = topics
    this.#log = log
  }

  async nextDueMs(): Promise<number | undefined> {
    const row = await this.#context.sql.row('select min(due_ms) as due from {s}.schedule')
    return numberOrNull(row?.due) ?? undefined
  }

  /**
   * The delete is the claim: of two processes that try, one gets the row, and the other does not wait for it. Should the first one
   * not commit, the row is still there, and due.
   */
  async release(nowMs: number, limit: number): Promise<string[]> {
    const rows = await this.#context.sql.rows(
      `with due as materialized (
         select schedule from {s}.schedule where due_ms <= $1::bigint order by due_ms, schedule limit $2::int for update skip locked),
       gone as (delete from {s}.schedule s using due where s.schedule = due.schedule returning s.*)
       select t.name as topic, ${envelopeColumns.replace('sequence', 'sequence::text as sequence')}
       from gone g join {s}.topic t on t.topic = g.topic order by g.due_ms, g.schedule`,
      Math.floor(nowMs),
      limit,
    )
    const byTopic = new Map<string, Envelope[]>()
    for (const row of rows) {
      const topic = textOf(row.topic)
      const envelopes = byTopic.get(topic) ?? []
      envelopes.push(envelopeOf(topic, row))
      byTopic.set(topic, envelopes)
    }
    for (const [topic, envelopes] of byTopic) {
      await this.#log.write((await this.#topics.get(topic)) as PostgresTopicRecord, envelopes)
      this.#context.touched.add(topic)
    }
    return [...byTopic.keys()]
  }
}
