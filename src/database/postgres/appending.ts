import { OnefoldError } from '../../errors.ts'
import type { Envelope } from '../../message.ts'
import { partitionOfEnvelope } from '../../partition-of.ts'
import type { AppendStatus } from '../database.ts'
import { headersText } from './envelope-row.ts'
import type { PostgresTopicRecord, StoreContext } from './known.ts'
import type { Sql } from './sql.ts'
import { numberOf, textOf } from './sql.ts'
import type { IdentityInput, IdentityStatus, Recorded } from './windows.ts'
import { forgottenMeanwhile } from './windows.ts'

/** A message as the function `append` of schema.ts reads it. */
export interface AppendRow {
  readonly envelope: Envelope
  /** Hexadecimal; undefined: recorded already. */
  readonly identity: string | undefined
  /** Undefined: for later. */
  readonly partition: number | undefined
}

/** Into the log; its identity is recorded with it, unless it has been already. */
export function appendRow(
  { touched }: StoreContext,
  record: PostgresTopicRecord,
  envelope: Envelope,
  identity?: string | undefined,
): AppendRow {
  const number = partitionOfEnvelope(envelope, record.partitions)
  touched.add(`${record.name}/${number}`)
  return { envelope, identity, partition: record.numbers[number] }
}

export interface Appended {
  /** Whether the identity of a row, by its place in the call, was new. */
  readonly isFresh: (place: number) => boolean
  readonly written: number
}

export async function appendRows(
  sql: Sql,
  record: PostgresTopicRecord,
  dedup: number | undefined,
  rows: readonly AppendRow[],
): Promise<Appended> {
  const row = await sql.row(
    `select coalesce(fresh, 'all') as fresh, written from {s}.append($1::int, $2::int, $3::int, $4::text, null)`,
    record.topic,
    record.partitions,
    dedup ?? null,
    columnsOf(record.name, rows),
  )
  return { isFresh: freshOf(row?.fresh), written: numberOf(row?.written ?? 0) }
}

const betweenMessages = '\n'
const betweenColumns = '\u001e'

type Column = (row: AppendRow, topic: string) => string | number | bigint | undefined

const columns: readonly Column[] = [
  ({ identity }) => identity,
  ({ partition }) => partition,
  ({ envelope }) => envelope.source,
  ({ envelope }) => envelope.id,
  ({ envelope }) => envelope.sequence,
  ({ envelope }) => envelope.key,
  ({ envelope: { type } }, topic) => (type === topic ? undefined : type),
  ({ envelope }) => envelope.timeMs,
  ({ envelope }) => headersText(envelope.headers),
  ({ envelope }) => envelope.json,
]

/** The text that hands messages to `append`, column by column (`rows_of` in schema.ts). */
export function columnsOf(topic: string, rows: readonly AppendRow[]): string {
  const texts = columns.map((column) => {
    const values = rows.map((row) => column(row, topic))
    // What stands after it would be another message's.
    for (const value of values)
      if (typeof value === 'string' && (value.includes(betweenMessages) || value.includes(betweenColumns)))
        throw new Error('a text of a message has a control character in it')
    return values.join(betweenMessages)
  })
  return texts.join(betweenColumns)
}

export function freshOf(fresh: unknown): (place: number) => boolean {
  if (fresh === 'all') return () => true
  const places = new Set(textOf(fresh).split(','))
  return (place) => places.has(String(place + 1))
}

export function appendStatus({ idReuse }: PostgresTopicRecord, status: IdentityStatus): AppendStatus {
  if (status instanceof OnefoldError) return status
  if (status === 'new' || status === 'too-old') return 'accepted'
  return status === 'reused' && idReuse === 'error' ? 'id-reused' : 'duplicate'
}

/**
 * One call of `append`: identities are recorded and new messages written by one statement. What has not been written after it, the
 * caller writes: messages of a topic whose partitions were raised, or that might be pending elsewhere.
 */
export class Appending {
  /** Indexes of the messages that are in the log. */
  readonly written = new Set<number>()
  readonly #context: StoreContext
  readonly #record: PostgresTopicRecord
  readonly #envelopes: readonly Envelope[]
  readonly #isLater: (envelope: Envelope) => boolean

  constructor(
    context: StoreContext,
    record: PostgresTopicRecord,
    envelopes: readonly Envelope[],
    isLater: (envelope: Envelope) => boolean,
  ) {
    this.#context = context
    this.#record = record
    this.#envelopes = envelopes
    this.#isLater = isLater
  }

  /** A `Recorder` of `Windows.claim`. @throws OnefoldError `DATABASE_BUSY` where what is left over would be overtaken. */
  readonly record = async (
    dedup: number,
    inputs: readonly IdentityInput[],
    statuses: readonly (IdentityStatus | undefined)[],
  ): Promise<Recorded> => {
    if (this.written.size > 0) throw forgottenMeanwhile()
    const identities = new Map(inputs.map(({ index, key }) => [index, key]))
    const indexes: number[] = []
    const rows: AppendRow[] = []
    for (const [index, envelope] of this.#envelopes.entries()) {
      const identity = identities.get(index)
      const later = this.#isLater(envelope)
      // Numbered messages go in with the rest, in order; repeats within the call are none of it.
      if (identity === undefined && (later || envelope.sequence === undefined || statuses[index] !== 'new')) continue
      indexes.push(index)
      rows.push(later ? { envelope, identity, partition: undefined } : appendRow(this.#context, this.#record, envelope, identity))
    }
    const { isFresh, written } = await appendRows(this.#context.sql, this.#record, dedup, rows)
    const fresh = new Map<number, 'new'>()
    for (const [place, index] of indexes.entries()) {
      const isNew = identities.has(index) ? isFresh(place) : true
      if (identities.has(index) && isNew) fresh.set(index, 'new')
      if (written > 0 && isNew && rows[place]?.partition !== undefined) this.written.add(index)
    }
    // Nothing written although something is to be: whether it may be is looked into, for each.
    return { fresh, forgot: fresh.size > 0 && written === 0 }
  }
}
