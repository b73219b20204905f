import { OnefoldError } from '../../errors.ts'
import type { Delivery, Envelope } from '../../message.ts'
import { partitionOfEnvelope } from '../../partition-of.ts'
import type { AppendStatus, LogStore, TopicRecord } from '../database.ts'
import type { SqlValue } from './connection.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeColumns, envelopeOf, envelopePlaceholders, envelopeSelect, envelopeValues, headersText } from './envelope-row.ts'
import type { IdentityStatus, IdentityWindows } from './identity-windows.ts'
import { parkedStatus } from './parked-identity.ts'
import type { PartitionHeads } from './partition-heads.ts'
import { offsetSpan } from './schema.ts'
import type { Statements } from './statements.ts'
import { limited } from './statements.ts'
import type { SqliteTopicRecord, SqliteTopicStore } from './topic-store.ts'

const readMessages = `select position, ${envelopeSelect} from {p}log where position > ? and position < ? order by position ${limited}`
/** Rows per query of a read: the first few show how large they are. */
const firstRows = 4
const mostRows = 128
const insertMessage = `insert into {p}log (position, ${envelopeColumns})`

export class SqliteLogStore implements LogStore {
  readonly #statements: Statements
  readonly #topics: SqliteTopicStore
  readonly #windows: IdentityWindows
  readonly #heads: PartitionHeads
  readonly #touched: Set<string>
  readonly #wallMs: () => number
  readonly #appended: () => void

  constructor(options: {
    statements: Statements
    topics: SqliteTopicStore
    windows: IdentityWindows
    heads: PartitionHeads
    touched: Set<string>
    wallMs: () => number
    /** Called when messages have got their offsets. */
    appended: () => void
  }) {
    this.#statements = options.statements
    this.#topics = options.topics
    this.#windows = options.windows
    this.#heads = options.heads
    this.#touched = options.touched
    this.#wallMs = options.wallMs
    this.#appended = options.appended
  }

  append(topic: TopicRecord, envelopes: readonly Envelope[]): AppendStatus[] {
    this.#statements.assertInTransaction()
    const record = this.#topics.get(topic.name) as SqliteTopicRecord
    const statuses: AppendStatus[] = []
    const taken: Envelope[] = []
    const claimed = this.#windows.claim(record.name, '', envelopes)
    const forgot = this.#windows.forgottenMs(record.name, '') !== undefined
    let duplicates = 0
    for (let index = 0; index < envelopes.length; index++) {
      const envelope = envelopes[index] as Envelope
      const answer = claimed[index] as IdentityStatus
      const status = forgot ? this.#unlessPending(record, envelope, answer) : answer
      if (status === 'new') {
        if (envelope.deliverAtMs !== undefined && envelope.deliverAtMs > this.#wallMs())
          this.#schedule(record, envelope, envelope.deliverAtMs)
        else taken.push(envelope)
        statuses.push('accepted')
      } else if (status instanceof OnefoldError) statuses.push(status)
      else {
        duplicates++
        statuses.push(status === 'reused' && record.idReuse === 'error' ? 'id-reused' : 'duplicate')
      }
    }
    this.write(record, taken)
    if (duplicates > 0)
      this.#statements.sql('update {p}topic set duplicates = duplicates + ? where topic = ?').run(duplicates, record.topic)
    this.#touched.add(record.name)
    this.#appended()
    return statuses
  }

  /**
   * What the window does not remember is taken at publish, whatever its age: a program that publishes states the time of
   * publishing. Unless it is still to be delivered, or parked with a group: then its identity is known however long that takes.
   */
  #unlessPending(record: SqliteTopicRecord, envelope: Envelope, status: IdentityStatus): IdentityStatus {
    if (status !== 'new' && status !== 'too-old') return status
    if (envelope.sequence !== undefined) return 'new'
    const scheduled = this.#statements
      .sql('select data from {p}schedule where topic = ? and source = ? and id = ? and sequence is null')
      .get<{ data: string }>(record.topic, envelope.source, envelope.id)
    if (scheduled !== undefined) return scheduled.data === envelope.json ? 'seen' : 'reused'
    const groups = this.#statements
      .sql('select subscription from {p}subscription where topic = ?')
      .all<{ subscription: number }>(record.name)
    for (const { subscription } of groups) {
      const parked = parkedStatus(this.#statements, subscription, envelope)
      if (parked !== undefined) return parked
    }
    return 'new'
  }

  /** Gives messages their offsets. Their identities have been claimed. */
  write(record: SqliteTopicRecord, envelopes: readonly Envelope[]): void {
    // Partition by partition: rows that lie side by side are cheap to insert one after the other.
    const byPartition = new Map<number, Envelope[]>()
    for (const envelope of envelopes) {
      const partition = record.numbers[partitionOfEnvelope(envelope, record.partitions)] as number
      const before = byPartition.get(partition)
      if (before === undefined) byPartition.set(partition, [envelope])
      else before.push(envelope)
    }
    const values: SqlValue[] = []
    for (const [partition, ofPartition] of byPartition) {
      for (const envelope of ofPartition) {
        values.push(
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
    }
    this.#statements.insertRows(insertMessage, 9, values)
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
    // A few rows, then more at a time: all at once is quick, but the next ones may be as large as a message can be.
    let position = base + Number(after)
    let bytes = 0
    for (let size = firstRows; deliveries.length < limit && bytes < maxBytes; size = Math.min(mostRows, size * 2)) {
      const expected = deliveries.length === 0 ? size : Math.ceil(((maxBytes - bytes) * deliveries.length) / Math.max(1, bytes))
      const asked = Math.min(size, expected, limit - deliveries.length)
      const rows = this.#statements.sql(readMessages).all<EnvelopeRow & { position: number }>(position, base + offsetSpan, asked)
      for (const row of rows) {
        deliveries.push({ envelope: envelopeOf(topic, row), offset: BigInt(row.position - base), redelivered: 'unknown' })
        bytes += row.data.length
        position = row.position
      }
      if (rows.length < asked) break
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
