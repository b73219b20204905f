import type { Envelope } from '../../message.ts'
import type { OutboxRow, OutboxStore } from '../../outbox/outbox-store.ts'
import { envelopeColumns, envelopeJson, envelopeOf, envelopeRecord, envelopeSelect } from './envelope-row.ts'
import type { StoreContext } from './known.ts'
import { bigintOf, numberOrNull, textOf, textOrUndefined } from './sql.ts'

/**
 * Rows are numbered when they are written and seen when they are committed, which may be in another order. That harms nothing here:
 * no place is remembered up to which rows were sent. Whatever is there is read, and only what was sent is removed, one by one; a
 * row that becomes visible late, with a low number, is the first one of the next look. What was written after another's COMMIT has
 * the higher number, so one after the other stays one after the other.
 */
export class PostgresOutboxStore implements OutboxStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async append(
    topic: string,
    messages: readonly { readonly envelope: Envelope; readonly cause: string | undefined }[],
  ): Promise<void> {
    if (messages.length === 0) return
    const { sql, wallMs } = this.#context
    const rows = messages.map(({ envelope, cause }, n) => ({
      n,
      cause: cause ?? null,
      deliver_at_ms: envelope.deliverAtMs === undefined ? null : Math.floor(envelope.deliverAtMs),
      ...envelopeJson(topic, envelope),
    }))
    await sql.rows(
      `insert into {s}.outbox (topic, cause, appended_ms, deliver_at_ms, ${envelopeColumns})
       select $1::text, r.cause, $2::bigint, r.deliver_at_ms, ${envelopeColumns}
       from json_to_recordset($3::json) as r (n int, cause text, deliver_at_ms bigint, ${envelopeRecord}) order by r.n`,
      topic,
      Math.floor(wallMs()),
      JSON.stringify(rows),
    )
  }

  async read(limit: number): Promise<OutboxRow[]> {
    const rows = await this.#context.sql.rows(
      `select outbox, topic, cause, deliver_at_ms, ${envelopeSelect} from {s}.outbox order by outbox limit $1::int`,
      limit,
    )
    return rows.map((row) => {
      const topic = textOf(row.topic)
      return {
        row: bigintOf(row.outbox),
        topic,
        cause: textOrUndefined(row.cause),
        envelope: { ...envelopeOf(topic, row), deliverAtMs: numberOrNull(row.deliver_at_ms) ?? undefined },
      }
    })
  }

  /** Locked in order first: an erasure may be removing some of them at this moment. */
  async remove(rows: readonly bigint[]): Promise<void> {
    if (rows.length === 0) return
    await this.#context.sql.rows(
      `with sent as materialized (
         select outbox from {s}.outbox where outbox in (select json_array_elements_text($1::json)::bigint) order by outbox for update)
       delete from {s}.outbox o using sent where o.outbox = sent.outbox`,
      JSON.stringify(rows.map(String)),
    )
  }
}
