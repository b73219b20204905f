import { OnefoldError } from '../../errors.ts'
import { parseJson } from '../../parse-json.ts'
import type { AnyTopic } from '../../topic.ts'
import { topicLimits } from '../../topic.ts'
import type { TopicStore } from '../database.ts'
import { checkRaised, checkUnchanged, keyedOf, noSuchTopic, topicBusy } from '../topic-rules.ts'
import type { PostgresTopicRecord, StoreContext } from './known.ts'
import { numberOf, textOf } from './sql.ts'
import type { Windows } from './windows.ts'

/** Of two processes that declare a topic at the same moment, one makes it and the other finds it. */
export class PostgresTopicStore implements TopicStore {
  readonly #context: StoreContext
  readonly #windows: Windows

  constructor(context: StoreContext, windows: Windows) {
    this.#context = context
    this.#windows = windows
  }

  async declare(topic: AnyTopic): Promise<PostgresTopicRecord> {
    const { known, made } = this.#context
    const checked = known.declared.get(topic) ?? made.declared.get(topic)
    if (checked !== undefined) return checked
    const record = await this.#declare(topic)
    made.declared.set(topic, record)
    return record
  }

  async #declare(topic: AnyTopic): Promise<PostgresTopicRecord> {
    const { sql } = this.#context
    const found = (await this.get(topic.name)) ?? (await this.#create(topic))
    if (topic.adopt === true) return found
    checkUnchanged(topic, found)
    // What is not fixed follows the program that started last.
    const changed = await sql.count(
      `update {s}.topic set keyed = coalesce(keyed, $1::boolean), retention_ms = $2::bigint
       where topic = $3::int and (keyed is null or retention_ms <> $2::bigint) returning 1`,
      keyedOf(topic) ?? null,
      topic.settings.retentionMs,
      found.topic,
    )
    return changed === 0 ? found : ((await this.#read(topic.name)) as PostgresTopicRecord)
  }

  async #create(topic: AnyTopic): Promise<PostgresTopicRecord> {
    const { sql } = this.#context
    const partitions = topic.settings.partitions ?? topicLimits.defaultPartitions
    const row = await sql.row(
      `insert into {s}.topic (name, partitions, keyed, id_reuse, retention_ms) values ($1, $2::int, $3::boolean, $4, $5::bigint)
       on conflict do nothing returning topic`,
      topic.name,
      partitions,
      keyedOf(topic) ?? null,
      topic.settings.idReuse ?? 'error',
      topic.settings.retentionMs,
    )
    if (row !== undefined) {
      await this.#addPartitions(numberOf(row.topic), 0, partitions)
      await this.#windows.number(topic.name, '')
    }
    const record = await this.#read(topic.name)
    if (record !== undefined) return record
    throw new OnefoldError('DATABASE_BUSY', `topic ${topic.name} is being made by somebody else; the same again goes through.`, {
      retry: 'now',
    })
  }

  async get(name: string): Promise<PostgresTopicRecord | undefined> {
    const { known, made } = this.#context
    return known.topics.get(name) ?? made.topics.get(name) ?? (await this.#read(name))
  }

  async names(): Promise<string[]> {
    return (await this.#context.sql.rows('select name from {s}.topic order by name')).map((row) => textOf(row.name))
  }

  /** Nobody can be publishing to the log meanwhile: who writes with the old number of partitions is waited for, or waits. */
  async change(
    name: string,
    change: { partitions?: number; keyed?: boolean; idReuse?: 'error' | 'ignore' },
  ): Promise<PostgresTopicRecord> {
    const { sql, known } = this.#context
    await sql.rows('lock table {s}.log in share row exclusive mode')
    const record = await this.#read(name)
    if (record === undefined) throw noSuchTopic(name)
    const busy = await this.#undrained(record)
    if (busy !== undefined) throw topicBusy(name, busy)
    const partitions = change.partitions ?? record.partitions
    checkRaised(record, partitions)
    await this.#addPartitions(record.topic, record.partitions, partitions)
    await sql.rows(
      'update {s}.topic set partitions = $1::int, keyed = $2::boolean, id_reuse = $3 where topic = $4::int',
      partitions,
      change.keyed ?? record.keyed ?? null,
      change.idReuse ?? record.idReuse,
      record.topic,
    )
    known.clear()
    return (await this.#read(name)) as PostgresTopicRecord
  }

  async #undrained({ topic, name }: PostgresTopicRecord): Promise<string | undefined> {
    const { sql } = this.#context
    const owned = await sql.row('select 1 from {s}.lease where starts_with(name, $1) and owner is not null limit 1', `${name}/`)
    if (owned !== undefined) return 'a process consumes it'
    await sql.rows('select {s}.give_offsets(partition, false) from {s}.partition where topic = $1::int order by partition', topic)
    const behind = await sql.row(
      `select s.grp from {s}.subscription s join {s}.partition p on p.topic = $1::int
       left join {s}.checkpoint c on c.subscription = s.subscription and c.partition = p.number::text
       where s.topic = $2 and coalesce(c."offset", 0) < p.head limit 1`,
      topic,
      name,
    )
    if (behind !== undefined) return `group ${textOf(behind.grp)} has messages to apply`
    const parked = await sql.row(
      'select s.grp from {s}.parked k join {s}.subscription s using (subscription) where s.topic = $1 limit 1',
      name,
    )
    return parked === undefined ? undefined : `group ${textOf(parked.grp)} has parked messages`
  }

  async #addPartitions(topic: number, from: number, to: number): Promise<void> {
    await this.#context.sql.rows(
      'insert into {s}.partition (topic, number) select $1::int, n from generate_series($2::int, $3::int - 1) n',
      topic,
      from,
      to,
    )
  }

  async #read(name: string): Promise<PostgresTopicRecord | undefined> {
    const row = await this.#context.sql.row(
      `select t.topic, t.partitions, t.keyed, t.id_reuse,
         (select json_agg(p.partition order by p.number) from {s}.partition p where p.topic = t.topic)::text as numbers
       from {s}.topic t where t.name = $1`,
      name,
    )
    if (row === undefined) return undefined
    const record: PostgresTopicRecord = {
      topic: numberOf(row.topic),
      name,
      partitions: numberOf(row.partitions),
      keyed: row.keyed === null ? undefined : row.keyed === true,
      idReuse: textOf(row.id_reuse) as 'error' | 'ignore',
      numbers: parseJson(textOf(row.numbers)) as number[],
    }
    this.#context.made.topics.set(name, record)
    return record
  }
}
