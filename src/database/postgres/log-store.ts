import { OnefoldError } from '../../errors.ts'
import type { Delivery, Envelope } from '../../message.ts'
import type { AppendStatus, LogStore, TopicRecord } from '../database.ts'
import { Appending, appendRow, appendRows, appendStatus } from './appending.ts'
import { envelopeColumns, envelopeJson, envelopeOf, envelopeRecord } from './envelope-row.ts'
import type { PostgresTopicRecord, StoreContext } from './known.ts'
import { parkedStatuses } from './parked-identity.ts'
import { bigintOf, numberOf, textOf, textOrUndefined } from './sql.ts'
import type { PostgresTopicStore } from './topic-store.ts'
import type { IdentityStatus, Windows } from './windows.ts'

/**
 * Messages enter without an offset, so that publishers never wait for each other. Offsets are given to what is committed, by
 * whoever reads (`give_offsets` in schema.ts): a transaction that commits late gets later ones, and holds up nobody.
 */
export class PostgresLogStore implements LogStore {
  readonly #context: StoreContext
  readonly #topics: PostgresTopicStore
  readonly #windows: Windows

  constructor(context: StoreContext, topics: PostgresTopicStore, windows: Windows) {
    this.#context = context
    this.#topics = topics
    this.#windows = windows
  }

  async append(topic: TopicRecord, envelopes: readonly Envelope[]): Promise<AppendStatus[]> {
    const { sql, wallMs } = this.#context
    let record = (await this.#topics.get(topic.name)) as PostgresTopicRecord
    const nowMs = wallMs()
    const isLater = ({ deliverAtMs }: Envelope): boolean => deliverAtMs !== undefined && deliverAtMs > nowMs
    const appending = new Appending(this.#context, record, envelopes, isLater)
    const { statuses: known, forgot } = await this.#windows.claim(record.name, '', envelopes, appending.record)
    const claimed = forgot ? await this.#unlessPending(record, envelopes, known) : known
    const statuses = claimed.map((status) => appendStatus(record, status))
    const now: Envelope[] = []
    const later: Envelope[] = []
    let duplicates = 0
    for (let index = 0; index < envelopes.length; index++) {
      const envelope = envelopes[index] as Envelope
      if (statuses[index] === 'accepted') {
        if (isLater(envelope)) later.push(envelope)
        else if (!appending.written.has(index)) now.push(envelope)
      } else if (!(statuses[index] instanceof OnefoldError)) duplicates++
    }
    record = await this.write(record, now)
    if (later.length > 0) await this.#schedule(record, later)
    if (duplicates > 0)
      await sql.rows('insert into {s}.duplicate (topic, count) values ($1::int, $2::int)', record.topic, duplicates)
    return statuses
  }

  /**
   * What the window does not remember is taken at publish, whatever its age: a program that publishes states the time of
   * publishing. Unless it is still to be delivered, or parked with a group: then its identity is known however long that takes.
   */
  async #unlessPending(
    record: PostgresTopicRecord,
    envelopes: readonly Envelope[],
    claimed: readonly IdentityStatus[],
  ): Promise<IdentityStatus[]> {
    const { sql } = this.#context
    const fresh = envelopes
      .map((envelope, index) => ({ envelope, index }))
      .filter(
        ({ envelope, index }) => envelope.sequence === undefined && (claimed[index] === 'new' || claimed[index] === 'too-old'),
      )
    const statuses = [...claimed]
    const input = JSON.stringify(fresh.map(({ envelope: { source, id, json }, index }) => ({ index, source, id, data: json })))
    const scheduled = await sql.rows(
      `select r.index, s.data = r.data as same from json_to_recordset($2::json) as r (index int, source text, id text, data text)
       cross join lateral (select data from {s}.schedule
         where topic = $1::int and source = r.source and id = r.id and sequence is null limit 1) s`,
      record.topic,
      input,
    )
    for (const row of scheduled) statuses[numberOf(row.index)] = row.same === true ? 'seen' : 'reused'
    const groups = await sql.rows('select subscription from {s}.subscription where topic = $1 order by subscription', record.name)
    for (const { subscription } of groups) {
      const parked = await parkedStatuses(
        sql,
        numberOf(subscription),
        fresh.map(({ envelope }) => envelope),
      )
      for (const [position, { index }] of fresh.entries())
        statuses[index] = parked[position] ?? (statuses[index] as IdentityStatus)
    }
    return statuses
  }

  /**
   * Puts messages into the log; their identities have been claimed. Answers what is known of the topic now: where its number of
   * partitions has been raised, the statement writes nothing with the old one, and is repeated with the new.
   */
  async write(record: PostgresTopicRecord, envelopes: readonly Envelope[]): Promise<PostgresTopicRecord> {
    if (envelopes.length === 0) return record
    const { sql, known, made } = this.#context
    for (let current = record; ; ) {
      const rows = envelopes.map((envelope) => appendRow(this.#context, current, envelope))
      if ((await appendRows(sql, current, undefined, rows)).written === rows.length) return current
      known.clear()
      made.clear()
      current = (await this.#topics.get(record.name)) as PostgresTopicRecord
    }
  }

  async #schedule(record: PostgresTopicRecord, envelopes: readonly Envelope[]): Promise<void> {
    await this.#context.sql.rows(
      `insert into {s}.schedule (due_ms, topic, ${envelopeColumns})
       select r.due_ms, $1::int, r.source, r.id, r.sequence, r.key, r.type, r.time_ms, r.headers, r.data
       from json_to_recordset($2::json) as r (due_ms bigint, ${envelopeRecord}, n int) order by r.n`,
      record.topic,
      JSON.stringify(
        envelopes.map((envelope, n) => ({
          n,
          due_ms: Math.floor(envelope.deliverAtMs ?? 0),
          ...envelopeJson(record.name, envelope),
        })),
      ),
    )
  }

  async read(topic: string, partition: string, after: bigint, limit: number, maxBytes: number): Promise<Delivery[]> {
    const number = (await this.#topics.get(topic))?.numbers[Number(partition)]
    if (number === undefined) return []
    const rows = await this.#context.sql.rows(
      `select "offset"::text as "offset", source, id, sequence::text as sequence, key, type, time_ms, headers, data,
         (select life from {s}.server_life) as life
       from {s}.read_log($1::int, $2::bigint, $3::int, $4::int, $5::boolean)`,
      number,
      after.toString(),
      limit,
      maxBytes,
      this.#context.relaxedOffsets,
    )
    if (rows.length > 0) this.#context.known.lives.set(`${topic}/${partition}`, textOrUndefined(rows[0]?.life))
    return rows.map((row) => ({
      envelope: envelopeOf(topic, row),
      offset: bigintOf(textOf(row.offset)),
      redelivered: 'unknown',
    }))
  }

  async head(topic: string, partition: string): Promise<bigint> {
    const number = (await this.#topics.get(topic))?.numbers[Number(partition)]
    if (number === undefined) return 0n
    const row = await this.#context.sql.row(
      'select {s}.give_offsets($1::int, $2::boolean)::text as head',
      number,
      this.#context.relaxedOffsets,
    )
    return bigintOf(textOf(row?.head ?? '0'))
  }
}
