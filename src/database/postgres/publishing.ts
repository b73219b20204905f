import type { Envelope } from '../../message.ts'
import type { AppendStatus } from '../database.ts'
import { appendRow, appendStatus, columnsOf, freshOf } from './appending.ts'
import type { PostgresTopicRecord, StoreContext } from './known.ts'
import type { Sql } from './sql.ts'
import { textOf } from './sql.ts'
import type { Recorder } from './windows.ts'
import { Windows } from './windows.ts'

/** Raised by the function `publish`: nothing was written, and a transaction of several statements will do it. */
const wantsTransaction = 'OF001'

/** Whether `publishAtOnce` can do it: nothing is new of the topic, and nothing particular of its messages. */
export function isPlain({ known, wallMs }: StoreContext, topic: string, envelopes: readonly Envelope[]): boolean {
  if (!known.windows.has(`${topic}\n`)) return false
  const nowMs = wallMs()
  return envelopes.every(
    ({ sequence, deliverAtMs }) => sequence === undefined && (deliverAtMs === undefined || deliverAtMs <= nowMs),
  )
}

export interface AtOnce {
  /** Up to when numbers that are remembered hold. */
  readonly removals: string | undefined
  /** A random number of this call: 0 to 2^53 - 1. */
  readonly receipt: number
  /** Told when something has been written: whatever fails from then on does not undo it. */
  readonly committed: () => void
}

export interface PublishedAtOnce {
  readonly statuses: AppendStatus[]
  /** This life of the server has no name yet: see `nameLife`. */
  readonly nameless: boolean
}

/**
 * What a program publishes by itself, in one statement that commits by itself (`publish` in schema.ts): one way to the server and back, where
 * BEGIN, the messages and COMMIT are three. `context`: of a connection without a transaction.
 *
 * Undefined: nothing was written, and it takes a transaction. A lost connection says nothing of what became of it; see `asIfAnswered`.
 */
export async function publishAtOnce(
  context: StoreContext,
  record: PostgresTopicRecord,
  envelopes: readonly Envelope[],
  { removals, receipt, committed }: AtOnce,
): Promise<PublishedAtOnce | undefined> {
  let others = envelopes.length
  let written = false
  let nameless = false
  const publish: Recorder = async (dedup, inputs) => {
    const rows = inputs.map(({ envelope, key }) => appendRow(context, record, envelope, key))
    // What was known, and forgotten before its data could be compared, comes here again: it has been counted as a repeat.
    others -= rows.length
    const row = await context.sql.row(
      `select coalesce(fresh, 'all') as fresh, nameless
       from {s}.publish($1::int, $2::int, $3::int, $4::text, $5::text, $6::bigint, $7::int, $8::int)`,
      record.topic,
      record.partitions,
      dedup,
      removals ?? null,
      columnsOf(record.name, rows),
      receipt,
      rows.length,
      others,
    )
    others = 0
    written = true
    committed()
    nameless ||= row?.nameless === true
    const isFresh = freshOf(row?.fresh)
    return { fresh: new Map(inputs.filter((_, place) => isFresh(place)).map(({ index }) => [index, 'new'])), forgot: false }
  }
  try {
    const { statuses } = await new Windows(context).claim(record.name, '', envelopes, publish)
    return { statuses: statuses.map((status) => appendStatus(record, status)), nameless }
  } catch (error) {
    if (!written && (error as { readonly code?: unknown } | undefined)?.code === wantsTransaction) return undefined
    throw error
  }
}

/**
 * The answer to `publishAtOnce` was lost, and the same has been appended again: what the first call wrote is a duplicate of its own, and
 * was accepted. `sinceXid`: a transaction that began before that call.
 */
export async function asIfAnswered(
  sql: Sql,
  record: PostgresTopicRecord,
  envelopes: readonly Envelope[],
  again: readonly AppendStatus[],
  { receipt, sinceXid }: { readonly receipt: number; readonly sinceXid: string },
): Promise<AppendStatus[]> {
  const rows = await sql.rows(
    `select source, id from {s}.log where xid >= $3::text::xid8 and receipt = $2::bigint
       and partition in (select partition from {s}.partition where topic = $1::int)`,
    record.topic,
    receipt,
    sinceXid,
  )
  const own = new Set(rows.map(({ source, id }) => `${textOf(source)}\n${textOf(id)}`))
  // Of repeats within the call the first was accepted.
  return again.map((status, index) => {
    const { source, id } = envelopes[index] as Envelope
    return status === 'duplicate' && own.delete(`${source}\n${id}`) ? 'accepted' : status
  })
}
