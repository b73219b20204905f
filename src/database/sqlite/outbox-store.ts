import type { Envelope } from '../../message.ts'
import type { OutboxNumber } from '../../outbox-number.ts'
import type { NumberedRow, OutboxRow, OutboxStore, RefusedRow } from '../../outbox/outbox-store.ts'
import { partitionOfEnvelope } from '../../partition-of.ts'
import type { AnyTopic, Order } from '../../topic.ts'
import { topicLimits } from '../../topic.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeColumns, envelopeOf, envelopeSelect, envelopeValues } from './envelope-row.ts'
import type { Statements } from './statements.ts'
import { limited } from './statements.ts'

const insertOutbox = `insert into {p}outbox (topic, cause, appended_ms, deliver_at_ms, partition, ordered, ${envelopeColumns})`

interface Row extends EnvelopeRow {
  readonly outbox: number
  readonly topic: string
  readonly cause: string | null
  readonly deliver_at_ms: number | null
  readonly partition: number
  readonly ordered: Order
  readonly series: string | null
  readonly number: string | null
}

export class SqliteOutboxStore implements OutboxStore {
  readonly #statements: Statements
  readonly #wallMs: () => number

  constructor(statements: Statements, wallMs: () => number) {
    this.#statements = statements
    this.#wallMs = wallMs
  }

  append(
    { name, settings }: Pick<AnyTopic, 'name' | 'settings'>,
    messages: readonly { readonly envelope: Envelope; readonly cause: string | undefined }[],
  ): void {
    this.#statements.assertInTransaction()
    const nowMs = this.#wallMs()
    const { partitions = topicLimits.defaultPartitions, order } = settings
    this.#statements.insertRows(
      insertOutbox,
      14,
      messages.flatMap(({ envelope, cause }) => [
        name,
        cause ?? null,
        nowMs,
        envelope.deliverAtMs ?? null,
        partitionOfEnvelope(envelope, partitions),
        order,
        ...envelopeValues(name, envelope),
      ]),
    )
  }

  read(limit: number): OutboxRow[] {
    return this.#rows(limit).map((row) => outboxRow(row, numberOf(row)))
  }

  number(limit: number): NumberedRow[] {
    this.#statements.assertInTransaction()
    const rows = this.#rows(limit)
    const incarnation = this.#incarnation()
    const fresh = Map.groupBy(
      rows.filter((row) => row.number === null),
      ({ topic, partition }) => `${incarnation}/${topic}/${partition}`,
    )
    const numbers = new Map<Row, OutboxNumber>()
    for (const [series, { length }] of fresh) {
      let number = this.#take(series, length)
      for (const row of fresh.get(series) ?? []) {
        this.#statements.sql('update {p}outbox set series = ?, number = ? where outbox = ?').run(series, number, row.outbox)
        numbers.set(row, { series, number: number++ })
      }
    }
    return rows.map((row) => outboxRow(row, numbers.get(row) ?? (numberOf(row) as OutboxNumber)))
  }

  remove(rows: readonly bigint[]): void {
    for (const row of rows) this.#statements.sql('delete from {p}outbox where outbox = ?').run(row)
  }

  refuse(rows: readonly RefusedRow[], nowMs: number): void {
    for (const { row, reason } of rows)
      this.#statements.sql('update {p}outbox set refused_ms = ?, refusal = ? where outbox = ?').run(nowMs, reason, row)
  }

  #rows(limit: number): Row[] {
    return this.#statements
      .sql(
        `select outbox, topic, cause, deliver_at_ms, partition, ordered, series, cast(number as text) as number, ${envelopeSelect}
         from {p}outbox where refused_ms is null order by outbox ${limited}`,
      )
      .all<Row>(limit)
  }

  #incarnation(): string {
    return this.#statements.sql("select value from {p}meta where name = 'incarnation'").get<{ value: string }>()?.value ?? ''
  }

  /** The first of so many numbers. */
  #take(series: string, count: number): bigint {
    this.#statements
      .sql('insert into {p}outbox_series (series, last) values (?1, ?2) on conflict do update set last = last + ?2')
      .run(series, count)
    const last = this.#statements
      .sql('select cast(last as text) as last from {p}outbox_series where series = ?')
      .get<{ last: string }>(series)?.last
    return BigInt(last ?? 0) - BigInt(count) + 1n
  }
}

const numberOf = ({ series, number }: Row): OutboxNumber | undefined =>
  series === null || number === null ? undefined : { series, number: BigInt(number) }

function outboxRow<Number extends OutboxNumber | undefined>(row: Row, number: Number): OutboxRow & { readonly number: Number } {
  return {
    row: BigInt(row.outbox),
    topic: row.topic,
    order: row.ordered,
    cause: row.cause ?? undefined,
    envelope: { ...envelopeOf(row.topic, row), deliverAtMs: row.deliver_at_ms ?? undefined },
    number,
  }
}
