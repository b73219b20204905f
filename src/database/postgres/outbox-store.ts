import type { Envelope } from '../../message.ts'
import type { OutboxNumber } from '../../outbox-number.ts'
import type { NumberedRow, OutboxRow, OutboxStore, RefusedRow } from '../../outbox/outbox-store.ts'
import { partitionOfEnvelope } from '../../partition-of.ts'
import type { AnyTopic, Order } from '../../topic.ts'
import { topicLimits } from '../../topic.ts'
import type { SqlRow } from './client.ts'
import { envelopeColumns, envelopeJson, envelopeOf, envelopeRecord, envelopeSelect } from './envelope-row.ts'
import type { StoreContext } from './known.ts'
import { bigintOf, numberOrNull, storable, textOf, textOrUndefined } from './sql.ts'

/**
 * Rows are numbered when they are written and seen when they are committed, which may be in another order. That harms nothing here:
 * no place is remembered up to which rows were sent. Whatever is there is read, and only what was sent is removed, one by one; a
 * row that becomes visible late, with a low number, is the first one of the next look. What was written after another's COMMIT has
 * the higher number, so one after the other stays one after the other.
 *
 * What receivers tell repeats by is another number, which the relay gives: those of a series have no gaps, whoever commits late.
 */
export class PostgresOutboxStore implements OutboxStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async append(
    { name, settings }: Pick<AnyTopic, 'name' | 'settings'>,
    messages: readonly { readonly envelope: Envelope; readonly cause: string | undefined }[],
  ): Promise<void> {
    if (messages.length === 0) return
    const { sql, wallMs } = this.#context
    const { partitions = topicLimits.defaultPartitions, order } = settings
    const rows = messages.map(({ envelope, cause }, n) => ({
      n,
      cause: cause ?? null,
      deliver_at_ms: envelope.deliverAtMs === undefined ? null : Math.floor(envelope.deliverAtMs),
      partition: partitionOfEnvelope(envelope, partitions),
      ...envelopeJson(name, envelope),
    }))
    await sql.rows(
      `insert into {s}.outbox (topic, cause, appended_ms, deliver_at_ms, partition, ordered, ${envelopeColumns})
       select $1::text, r.cause, $2::bigint, r.deliver_at_ms, r.partition, $3::text, ${envelopeColumns}
       from json_to_recordset($4::json) as r (n int, cause text, deliver_at_ms bigint, partition int, ${envelopeRecord}) order by r.n`,
      name,
      Math.floor(wallMs()),
      order,
      JSON.stringify(rows),
    )
  }

  async read(limit: number): Promise<OutboxRow[]> {
    return (await this.#rows(limit)).map((row) => outboxRow(row, numberOf(row)))
  }

  async number(limit: number): Promise<NumberedRow[]> {
    const rows = await this.#rows(limit)
    const fresh = rows.filter((row) => row.number === null).map((row) => textOf(row.outbox))
    const given = fresh.length === 0 ? undefined : await this.#give(fresh)
    // One that an erasure has removed since it was read has no number, and is not sent.
    return rows.flatMap((row) => {
      const number = numberOf(row) ?? given?.get(textOf(row.outbox))
      return number === undefined ? [] : [outboxRow(row, number)]
    })
  }

  /** Locked in order first: an erasure may be removing some of them at this moment, and what it removes gets no number. */
  async #give(rows: readonly string[]): Promise<ReadonlyMap<string, OutboxNumber>> {
    const numbered = await this.#context.sql.rows(
      `with held as materialized (
         select o.outbox, o.topic, o.partition from {s}.outbox o
         where o.outbox in (select json_array_elements_text($1::json)::bigint) and o.number is null order by o.outbox for update),
       fresh as materialized (
         select h.outbox, ((select m.value from {s}.meta m where m.name = 'incarnation') || '.' || '{s}.outbox'::regclass::oid::text || $2::text
           || '/' || h.topic || '/' || h.partition::text) collate "C" as series from held h),
       counted as materialized (select series, count(*) as n from fresh group by series),
       taken as (
         insert into {s}.outbox_series as l (series, last) select series, n from counted order by series
         on conflict (series) do update set last = l.last + excluded.last returning l.series, l.last),
       placed as (
         select f.outbox, f.series, t.last - c.n + row_number() over (partition by f.series order by f.outbox) as number
         from fresh f join counted c on c.series = f.series join taken t on t.series = f.series)
       update {s}.outbox o set series = p.series, number = p.number from placed p where o.outbox = p.outbox
       returning o.outbox, o.series, o.number`,
      JSON.stringify(rows),
      // Tables restored from a dump have an oid of their own, and what was given last may be lost with a life of the server.
      this.#context.life === undefined ? '' : `.${this.#context.life.slice(0, 8)}`,
    )
    return new Map(
      numbered.map((row) => [textOf(row.outbox), { series: textOf(row.series), number: bigintOf(textOf(row.number)) }]),
    )
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

  async refuse(rows: readonly RefusedRow[], nowMs: number): Promise<void> {
    if (rows.length === 0) return
    await this.#context.sql.rows(
      `with r as materialized (
         select o.outbox, r.reason from json_to_recordset($1::json) as r (outbox bigint, reason text)
         join {s}.outbox o on o.outbox = r.outbox order by o.outbox for update of o)
       update {s}.outbox o set refused_ms = $2::bigint, refusal = r.reason from r where o.outbox = r.outbox`,
      JSON.stringify(rows.map(({ row, reason }) => ({ outbox: String(row), reason: storable(reason) }))),
      Math.floor(nowMs),
    )
  }

  async #rows(limit: number): Promise<readonly SqlRow[]> {
    return await this.#context.sql.rows(
      `select outbox, topic, cause, deliver_at_ms, ordered, series, number, ${envelopeSelect}
       from {s}.outbox where refused_ms is null order by outbox limit $1::int`,
      limit,
    )
  }
}

const numberOf = ({ series, number }: SqlRow): OutboxNumber | undefined =>
  series === null || number === null ? undefined : { series: textOf(series), number: bigintOf(textOf(number)) }

function outboxRow<Number extends OutboxNumber | undefined>(
  row: SqlRow,
  number: Number,
): OutboxRow & { readonly number: Number } {
  const topic = textOf(row.topic)
  return {
    row: bigintOf(row.outbox),
    topic,
    order: textOf(row.ordered) as Order,
    cause: textOrUndefined(row.cause),
    envelope: { ...envelopeOf(topic, row), deliverAtMs: numberOrNull(row.deliver_at_ms) ?? undefined },
    number,
  }
}
