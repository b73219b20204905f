import type { Envelope } from '../../message.ts'
import { partitionOfEnvelope } from '../../partition-of.ts'
import type { EnvelopeJson } from './envelope-row.ts'
import { envelopeJson } from './envelope-row.ts'
import type { PostgresTopicRecord, StoreContext } from './known.ts'
import type { Sql } from './sql.ts'
import { numberOf, textOf } from './sql.ts'
import type { IdentityInput, IdentityStatus, Recorded } from './windows.ts'
import { forgottenMeanwhile } from './windows.ts'

/** As the function `append` of schema.ts reads it. */
export interface AppendRow extends EnvelopeJson {
  /** Hexadecimal; undefined: recorded already. */
  readonly identity?: string
  /** Undefined: for later. */
  readonly partition?: number | undefined
}

/** Into the log, its identity recorded already. */
export function appendRow({ touched }: StoreContext, record: PostgresTopicRecord, envelope: Envelope): AppendRow {
  const partition = partitionOfEnvelope(envelope, record.partitions)
  touched.add(`${record.name}/${partition}`)
  return { partition: record.numbers[partition], ...envelopeJson(record.name, envelope) }
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
    'select recorded, fresh, written from {s}.append($1::int, $2::int, $3::int, $4::json)',
    record.topic,
    record.partitions,
    dedup ?? null,
    JSON.stringify(rows),
  )
  // Null: all were.
  const fresh = row?.fresh === null ? undefined : new Set(textOf(row?.fresh ?? '').split(','))
  return { isFresh: (place) => fresh === undefined || fresh.has(String(place + 1)), written: numberOf(row?.written ?? 0) }
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
      const row = later ? envelopeJson(this.#record.name, envelope) : appendRow(this.#context, this.#record, envelope)
      indexes.push(index)
      rows.push(identity === undefined ? row : { identity, ...row })
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
