import { OnefoldError } from '../../errors.ts'
import type { AnyTopic } from '../../topic.ts'
import { topicLimits } from '../../topic.ts'
import type { TopicRecord, TopicStore } from '../database.ts'
import { checkRaised, checkUnchanged, keyedOf, noSuchTopic, topicBusy } from '../topic-rules.ts'
import { maxPartitionNumber } from './schema.ts'
import type { Statements } from './statements.ts'

export interface SqliteTopicRecord extends TopicRecord {
  readonly topic: number
  /** Global partition numbers, by partition. */
  readonly numbers: readonly number[]
}

export class SqliteTopicStore implements TopicStore {
  readonly #statements: Statements
  readonly #records = new Map<string, SqliteTopicRecord>()
  /** Topics checked against the file since the last foreign commit: every published message asks. */
  readonly #declared = new Map<AnyTopic, SqliteTopicRecord>()

  constructor(statements: Statements) {
    this.#statements = statements
  }

  forget(): void {
    // To clear what is empty costs as much as to make it anew, and every commit of others has this done.
    if (this.#records.size > 0) this.#records.clear()
    if (this.#declared.size > 0) this.#declared.clear()
  }

  declare(topic: AnyTopic): SqliteTopicRecord {
    const checked = this.#declared.get(topic)
    if (checked !== undefined) return checked
    const record = this.#declare(topic)
    this.#declared.set(topic, record)
    return record
  }

  #declare(topic: AnyTopic): SqliteTopicRecord {
    this.#statements.assertInTransaction()
    const known = this.get(topic.name)
    if (known !== undefined) {
      if (topic.adopt === true) return known
      checkUnchanged(topic, known)
      return this.#refresh(topic, known)
    }
    const partitions = topic.settings.partitions ?? topicLimits.defaultPartitions
    const { lastInsertRowid } = this.#statements
      .sql('insert into {p}topic (name, partitions, keyed, id_reuse, retention_ms) values (?, ?, ?, ?, ?)')
      .run(topic.name, partitions, nullableFlag(keyedOf(topic)), topic.settings.idReuse ?? 'error', topic.settings.retentionMs)
    this.#addPartitions(lastInsertRowid, 0, partitions)
    return this.#read(topic.name) as SqliteTopicRecord
  }

  /** What is not fixed follows the program that started last. */
  #refresh(topic: AnyTopic, known: SqliteTopicRecord): SqliteTopicRecord {
    const changed = this.#statements
      .sql(
        'update {p}topic set keyed = coalesce(keyed, ?1), retention_ms = ?2 where topic = ?3 and (keyed is null or retention_ms <> ?2)',
      )
      .run(nullableFlag(keyedOf(topic)), topic.settings.retentionMs, known.topic).changes
    return changed === 0 ? known : (this.#read(topic.name) as SqliteTopicRecord)
  }

  get(name: string): SqliteTopicRecord | undefined {
    const cached = this.#records.get(name)
    if (cached !== undefined) return cached
    return this.#read(name)
  }

  names(): string[] {
    return this.#statements
      .sql('select name from {p}topic order by name')
      .all<{ name: string }>()
      .map((row) => row.name)
  }

  change(name: string, change: { partitions?: number; keyed?: boolean; idReuse?: 'error' | 'ignore' }): SqliteTopicRecord {
    const record = this.get(name)
    if (record === undefined) throw noSuchTopic(name)
    const busy = this.#undrained(record)
    if (busy !== undefined) throw topicBusy(name, busy)
    const partitions = change.partitions ?? record.partitions
    checkRaised(record, partitions)
    this.#addPartitions(record.topic, record.partitions, partitions)
    this.#statements
      .sql('update {p}topic set partitions = ?, keyed = ?, id_reuse = ? where topic = ?')
      .run(partitions, nullableFlag(change.keyed ?? record.keyed), change.idReuse ?? record.idReuse, record.topic)
    this.#declared.clear()
    return this.#read(name) as SqliteTopicRecord
  }

  #undrained(record: SqliteTopicRecord): string | undefined {
    const owned = this.#statements
      .sql("select 1 from {p}lease where name like ? escape '\\' and owner is not null limit 1")
      .get(`${record.name.replace(/[%_\\]/g, '\\$&')}/%`)
    if (owned !== undefined) return 'a process consumes it'
    const behind = this.#statements
      .sql(
        `select s.grp from {p}subscription s join {p}partition p on p.topic = ?1
         left join {p}checkpoint c on c.subscription = s.subscription and c.partition = cast(p.number as text)
         where s.topic = ?2 and coalesce(c."offset", 0) < p.head limit 1`,
      )
      .get<{ grp: string }>(record.topic, record.name)
    if (behind !== undefined) return `group ${behind.grp} has messages to apply`
    const parked = this.#statements
      .sql('select s.grp from {p}parked k join {p}subscription s using (subscription) where s.topic = ? limit 1')
      .get<{ grp: string }>(record.name)
    return parked === undefined ? undefined : `group ${parked.grp} has parked messages`
  }

  #addPartitions(topic: number, from: number, to: number): void {
    for (let number = from; number < to; number++) {
      const { lastInsertRowid } = this.#statements
        .sql('insert into {p}partition (topic, number) values (?, ?)')
        .run(topic, number)
      if (lastInsertRowid > maxPartitionNumber) {
        throw new OnefoldError(
          'OPTION_INVALID',
          `partitions: one file holds at most ${maxPartitionNumber} partitions over all topics.`,
          { details: { option: 'partitions' } },
        )
      }
    }
  }

  #read(name: string): SqliteTopicRecord | undefined {
    const row = this.#statements
      .sql('select topic, name, partitions, keyed, id_reuse from {p}topic where name = ?')
      .get<{ topic: number; name: string; partitions: number; keyed: number | null; id_reuse: 'error' | 'ignore' }>(name)
    if (row === undefined) return undefined
    const record: SqliteTopicRecord = {
      topic: row.topic,
      name: row.name,
      partitions: row.partitions,
      keyed: row.keyed === null ? undefined : row.keyed === 1,
      idReuse: row.id_reuse,
      numbers: this.#statements
        .sql('select partition from {p}partition where topic = ? order by number')
        .all<{ partition: number }>(row.topic)
        .map((entry) => entry.partition),
    }
    this.#records.set(name, record)
    return record
  }
}

const nullableFlag = (flag: boolean | undefined): number | null => (flag === undefined ? null : flag ? 1 : 0)
