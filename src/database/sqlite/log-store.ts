import { OnefoldError } from '../../errors.ts'
import type { Delivery, Envelope } from '../../message.ts'
import { partitionOf } from '../../partition-of.ts'
import type { AppendStatus, LogStore, TopicRecord } from '../database.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeColumns, envelopeOf, envelopePlaceholders, envelopeSelect, envelopeValues, headersText } from './envelope-row.ts'
import type { IdentityWindows } from './identity-windows.ts'
import type { PartitionHeads } from './partition-heads.ts'
import { offsetSpan } from './schema.ts'
import type { Statements } from './statements.ts'
import type { SqliteTopicRecord, SqliteTopicStore } from './topic-store.ts'

/** Where a message of a topic goes: its key decides, and its id where it has none. */
export const partitionOfEnvelope = (envelope: { key?: string | undefined; id: string }, partitions: number): number =>
  partitions === 1 ? 0 : partitionOf(envelope.key ?? envelope.id, partitions)

export class SqliteLogStore implements LogStore {
  readonly #statements: Statements
  readonly #topics: SqliteTopicStore
  readonly #windows: IdentityWindows
  readonly #heads: PartitionHeads
  readonly #touched: Set<string>
  readonly #wallMs: () => number

  constructor(options: {
    statements: Statements
    topics: SqliteTopicStore
    windows: IdentityWindows
    heads: PartitionHeads
    touched: Set<string>
    wallMs: () => number
  }) {
    this.#statements = options.statements
    this.#topics = options.topics
    this.#windows = options.windows
    this.#heads = options.heads
    this.#touched = options.touched
    this.#wallMs = options.wallMs
  }

  append(topic: TopicRecord, envelopes: readonly Envelope[]): AppendStatus[] {
    this.#statements.assertInTransaction()
    const record = this.#topics.get(topic.name) as SqliteTopicRecord
    const statuses: AppendStatus[] = []
    let duplicates = 0
    for (const envelope of envelopes) {
      const status = this.#windows.claim(record.name, '', envelope, record.name)
      if (status === 'new') {
        if (envelope.deliverAtMs !== undefined && envelope.deliverAtMs > this.#wallMs())
          this.#schedule(record, envelope, envelope.deliverAtMs)
        else this.write(record, envelope)
        statuses.push('accepted')
      } else if (status instanceof OnefoldError) statuses.push(status)
      else {
        duplicates++
        statuses.push(status === 'reused' && record.idReuse === 'error' ? 'id-reused' : 'duplicate')
      }
    }
    if (duplicates > 0)
      this.#statements.sql('update {p}topic set duplicates = duplicates + ? where topic = ?').run(duplicates, record.topic)
    this.#touched.add(record.name)
    return statuses
  }

  /** Gives the message its offset. Its identity has been claimed. */
  write(record: SqliteTopicRecord, envelope: Envelope): void {
    const partition = record.numbers[partitionOfEnvelope(envelope, record.partitions)] as number
    this.#statements
      .sql(`insert into {p}log (position, ${envelopeColumns}) values (?, ${envelopePlaceholders})`)
      .run(
        partition * offsetSpan + this.#heads.next(partition),
        envelope.source,
        envelope.id,
        envelope.sequence ?? null,
        envelope.key ?? null,
        envelope.type === record.name ? null : envelope.type,
        envelope.timeMs,
        headersText(envelope.headers),
        envelope.json,
      )
  }

  #schedule(record: SqliteTopicRecord, envelope: Envelope, dueMs: number): void {
    this.#statements
      .sql(`insert into {p}schedule (due_ms, topic, ${envelopeColumns}) values (?, ?, ${envelopePlaceholders})`)
      .run(dueMs, record.topic, ...envelopeValues(record.name, envelope))
  }

  read(topic: string, partition: string, after: bigint, limit: number, maxBytes: number): Delivery[] {
    const record = this.#topics.get(topic)
    const number = record?.numbers[Number(partition)]
    if (number === undefined) return []
    const base = number * offsetSpan
    const deliveries: Delivery[] = []
    let bytes = 0
    const rows = this.#statements
      .sql(`select position, ${envelopeSelect} from {p}log where position > ? and position < ? order by position limit ?`)
      .iterate<EnvelopeRow & { position: number }>(base + Number(after), base + offsetSpan, limit)
    for (const row of rows) {
      deliveries.push({ envelope: envelopeOf(topic, row), offset: BigInt(row.position - base), redelivered: 'unknown' })
      bytes += row.data.length
      if (bytes > maxBytes) break
    }
    return deliveries
  }

  head(topic: string, partition: string): bigint {
    const number = this.#topics.get(topic)?.numbers[Number(partition)]
    if (number === undefined) return 0n
    return BigInt(
      this.#statements.sql('select head from {p}partition where partition = ?').get<{ head: number }>(number)?.head ?? 0,
    )
  }
}
