import type { Envelope } from '../../message.ts'
import type { OutboxRow, OutboxStore } from '../../outbox/outbox-store.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeColumns, envelopeOf, envelopeSelect, envelopeValues } from './envelope-row.ts'
import type { Statements } from './statements.ts'
import { limited } from './statements.ts'

const insertOutbox = `insert into {p}outbox (topic, cause, appended_ms, deliver_at_ms, ${envelopeColumns})`

export class SqliteOutboxStore implements OutboxStore {
  readonly #statements: Statements
  readonly #wallMs: () => number

  constructor(statements: Statements, wallMs: () => number) {
    this.#statements = statements
    this.#wallMs = wallMs
  }

  append(topic: string, messages: readonly { readonly envelope: Envelope; readonly cause: string | undefined }[]): void {
    this.#statements.assertInTransaction()
    const nowMs = this.#wallMs()
    this.#statements.insertRows(
      insertOutbox,
      12,
      messages.flatMap(({ envelope, cause }) => [
        topic,
        cause ?? null,
        nowMs,
        envelope.deliverAtMs ?? null,
        ...envelopeValues(topic, envelope),
      ]),
    )
  }

  read(limit: number): OutboxRow[] {
    return this.#statements
      .sql(`select outbox, topic, cause, deliver_at_ms, ${envelopeSelect} from {p}outbox order by outbox ${limited}`)
      .all<EnvelopeRow & { outbox: number; topic: string; cause: string | null; deliver_at_ms: number | null }>(limit)
      .map((row) => ({
        row: BigInt(row.outbox),
        topic: row.topic,
        cause: row.cause ?? undefined,
        envelope: { ...envelopeOf(row.topic, row), deliverAtMs: row.deliver_at_ms ?? undefined },
      }))
  }

  remove(rows: readonly bigint[]): void {
    for (const row of rows) this.#statements.sql('delete from {p}outbox where outbox = ?').run(row)
  }
}
