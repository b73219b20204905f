import type { Envelope, Headers } from '../../message.ts'
import { emptyHeaders } from '../../message.ts'
import { parseJson } from '../../parse-json.ts'
import type { SqlParameter, SqlRow } from './client.ts'
import { numberOf, textOf, textOrUndefined } from './sql.ts'

/** The columns every table that stores a message shares, in this order. `type` is null when it is the topic's name. */
export const envelopeColumns = 'source, id, sequence, key, type, time_ms, headers, data'
/** Sequence numbers may pass 2^53: read as text. */
export const envelopeSelect = 'source, id, sequence::text as sequence, key, type, time_ms, headers, data'
/** As `envelopeJson` writes it, for `json_to_recordset(…) as r (…)`. */
export const envelopeRecord =
  'source text, id text, sequence bigint, key text, type text, time_ms bigint, headers text, data text'

/** One record of the JSON that hands many messages to a statement: what is undefined is left out, and null there. */
export interface EnvelopeJson {
  readonly source: string
  readonly id: string
  readonly sequence: string | undefined
  readonly key: string | undefined
  readonly type: string | undefined
  readonly time_ms: number
  readonly headers: string | undefined
  readonly data: string
}

export function envelopeJson(topic: string, envelope: Envelope): EnvelopeJson {
  return {
    source: envelope.source,
    id: envelope.id,
    sequence: envelope.sequence?.toString(),
    key: envelope.key,
    type: envelope.type === topic ? undefined : envelope.type,
    time_ms: envelope.timeMs,
    headers: headersText(envelope.headers),
    data: envelope.json,
  }
}

/** Undefined: there are none. */
export function headersText(headers: Headers): string | undefined {
  for (const _ in headers) return JSON.stringify(headers)
  return undefined
}

export function envelopeOf(topic: string, row: SqlRow): Envelope {
  const sequence = textOrUndefined(row.sequence)
  return {
    id: textOf(row.id),
    source: textOf(row.source),
    sequence: sequence === undefined ? undefined : BigInt(sequence),
    key: textOrUndefined(row.key),
    type: textOrUndefined(row.type) ?? topic,
    timeMs: numberOf(row.time_ms),
    headers: row.headers === null ? emptyHeaders : (parseJson(textOf(row.headers)) as Headers),
    json: textOf(row.data),
  }
}

export type { SqlParameter }
