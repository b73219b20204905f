import type { Envelope, Headers } from './message.ts'
import { emptyHeaders } from './message.ts'

/** Headers that begin so (in any case, as some wires fold it) are Onefold's own; nobody else publishes them. */
export const reservedHeader = /^onefold-/i

const seriesHeader = 'onefold-outbox'
const numberHeader = 'onefold-outbox-sequence'

/**
 * Which row of an outbox a message was sent from. A series is (incarnation of the outbox, topic, partition); its numbers are
 * dense, from 1. A row keeps its number however often, by whom and from which copy of the database it is sent.
 */
export interface OutboxNumber {
  readonly series: string
  readonly number: bigint
}

/** As a numbered source, in the tables that remember numbers. No producer is called so: a source is a name or a URI, without blanks. */
export const outboxSource = (series: string): string => `outbox ${series}`

/** How a row leaves: with its number in two headers, beside the message's own. */
export function withOutboxNumber(envelope: Envelope, { series, number }: OutboxNumber): Envelope {
  return { ...envelope, headers: { ...envelope.headers, [seriesHeader]: series, [numberHeader]: String(number) } }
}

const highest = 2n ** 63n - 1n

/** Undefined where it came another way, or what stands there is nothing that a relay writes: then its id alone says what it is. */
export function outboxNumberOf({ headers }: Pick<Envelope, 'headers'>): OutboxNumber | undefined {
  const series = headers[seriesHeader]
  if (series === undefined || !/^[\x21-\x7e]{1,400}$/.test(series)) return undefined
  const text = headers[numberHeader]
  if (text === undefined || !/^[1-9]\d{0,18}$/.test(text)) return undefined
  const number = BigInt(text)
  return number > highest ? undefined : { series, number }
}

/** What a handler sees: how often and by which outbox a message was sent is nothing it should depend on, or pass on. */
export function withoutOutboxNumber(headers: Headers): Headers {
  if (headers[seriesHeader] === undefined && headers[numberHeader] === undefined) return headers
  const { [seriesHeader]: _series, [numberHeader]: _number, ...own } = headers
  for (const _ in own) return own
  return emptyHeaders
}
