import type { Envelope, Headers } from '../../message.ts'
import { emptyHeaders } from '../../message.ts'
import { parseJson } from '../../parse-json.ts'
import type { SqlValue } from './connection.ts'

/** The columns every table that stores a message shares, in this order. `type` is null when it is the topic's name. */
export const envelopeColumns = 'source, id, sequence, key, type, time_ms, headers, data'
export const envelopePlaceholders = '?, ?, ?, ?, ?, ?, ?, ?'
/** Sequence numbers may pass 2^53: read as text. */
export const envelopeSelect = 'source, id, cast(sequence as text) as sequence, key, type, time_ms, headers, data'

export interface EnvelopeRow {
  readonly source: string
  readonly id: string
  readonly sequence: string | null
  readonly key: string | null
  readonly type: string | null
  readonly time_ms: number
  readonly headers: string | null
  readonly data: string
}

export function headersText(headers: Headers): string | null {
  for (const _ in headers) return JSON.stringify(headers)
  return null
}

export function envelopeValues(topic: string, envelope: Envelope): SqlValue[] {
  return [
    envelope.source,
    envelope.id,
    envelope.sequence ?? null,
    envelope.key ?? null,
    envelope.type === topic ? null : envelope.type,
    envelope.timeMs,
    headersText(envelope.headers),
    envelope.json,
  ]
}

export function envelopeOf(topic: string, row: EnvelopeRow): Envelope {
  return {
    id: row.id,
    source: row.source,
    sequence: row.sequence === null ? undefined : BigInt(row.sequence),
    key: row.key ?? undefined,
    type: row.type ?? topic,
    timeMs: row.time_ms,
    headers: row.headers === null ? emptyHeaders : (parseJson(row.headers) as Headers),
    json: row.data,
  }
}
