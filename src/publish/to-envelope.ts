import { toCanonicalJson } from '../canonical-json.ts'
import type { PublishInsideOptions } from '../consume/consume-options.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable, Envelope, Headers } from '../message.ts'
import { emptyHeaders, reservedTypePrefix } from '../message.ts'
import { reservedHeader } from '../outbox-number.ts'
import type { Runtime } from '../runtime.ts'
import { checkText } from '../text.ts'
import type { AnyTopic, ParseFailure } from '../topic.ts'
import { parseData, schemaError } from '../topic.ts'

const maxIdChars = 512
const maxKeyChars = 512
const maxTypeChars = 256
const maxHeaders = 64
const maxHeaderChars = 8_192
const maxSequence = 2n ** 63n - 1n
/** Ten years: further ahead is a mistake in the unit. */
const maxDelayMs = 10 * 366 * 24 * 3_600_000

/**
 * Checks what is to be published and gives it its identity, before anything is sent.
 * Answers at once unless the topic's schema is asynchronous. Errors carry the id, so that a caller can repeat.
 */
export function toEnvelope(
  topic: AnyTopic,
  data: unknown,
  options: PublishInsideOptions,
  context: { source: string; runtime: Runtime },
): Awaitable<Envelope> {
  const parsed = parseData(topic, data)
  return parsed instanceof Promise
    ? parsed.then((result) => build(topic, data, result, options, context))
    : build(topic, data, parsed, options, context)
}

function build(
  topic: AnyTopic,
  data: unknown,
  parsed: { readonly value: unknown } | { readonly failures: readonly ParseFailure[] },
  options: PublishInsideOptions,
  { source, runtime }: { source: string; runtime: Runtime },
): Envelope {
  if ('failures' in parsed) throw schemaError(topic, parsed.failures, options.id)
  const sequence = options.sequence
  if (sequence !== undefined && (typeof sequence !== 'bigint' || sequence < 0n || sequence > maxSequence)) {
    throw new OnefoldError('MESSAGE_INVALID', `sequence is ${String(sequence)}; it must be a bigint from 0 to 2^63-1.`, {
      details: { field: 'sequence' },
    })
  }
  const id = options.id ?? (topic.id === undefined ? (sequence?.toString() ?? runtime.uuid()) : topic.id(parsed.value))
  checkText('id', id, maxIdChars)
  const key = options.key ?? topic.key?.(parsed.value)
  if (key !== undefined) checkText('key', key, maxKeyChars)
  const type = options.type ?? topic.name
  if (options.type !== undefined) checkText('type', type, maxTypeChars)
  if (type.startsWith(reservedTypePrefix))
    throw new OnefoldError(
      'MESSAGE_INVALID',
      `type is ${JSON.stringify(type)}; types that begin with ${reservedTypePrefix} are reserved.`,
      {
        details: { field: 'type' },
      },
    )
  const json = toCanonicalJson(data)
  const { maxDataBytes } = topic.settings
  if (json.length * 3 > maxDataBytes) {
    const bytes = Buffer.byteLength(json)
    if (bytes > maxDataBytes) {
      throw new OnefoldError(
        'MESSAGE_TOO_LARGE',
        `message ${id} of topic ${topic.name} has ${bytes} bytes of JSON; the topic's maxDataBytes is ${maxDataBytes}. Store the large part elsewhere and publish a reference to it.`,
        {
          details: { topic: topic.name, id, bytes, maxDataBytes },
        },
      )
    }
  }
  const timeMs = runtime.wallMs()
  return {
    id,
    source,
    sequence,
    key,
    type,
    timeMs,
    headers: options.headers === undefined ? emptyHeaders : checkedHeaders(options.headers),
    json,
    deliverAtMs: options.deliverAt === undefined ? undefined : checkedDeliverAt(options.deliverAt, timeMs),
  }
}

function checkedHeaders(headers: Headers): Headers {
  const names = Object.keys(headers)
  if (names.length > maxHeaders)
    throw new OnefoldError('MESSAGE_INVALID', `headers has ${names.length} entries; at most ${maxHeaders} are carried.`, {
      details: { field: 'headers' },
    })
  const copy: Record<string, string> = {}
  for (const name of names) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) {
      throw new OnefoldError(
        'MESSAGE_INVALID',
        `header name ${JSON.stringify(name.slice(0, 40))} must be 1 to 100 letters, digits or any of . _ -`,
        { details: { field: 'headers' } },
      )
    }
    if (reservedHeader.test(name)) {
      throw new OnefoldError(
        'MESSAGE_INVALID',
        `headers.${name}: headers that begin with onefold- are Onefold's own; leave them out when you pass on those of another message.`,
        { details: { field: `headers.${name}` } },
      )
    }
    const value = headers[name]
    if (value !== '') checkText(`headers.${name}`, value, maxHeaderChars)
    copy[name] = value as string
  }
  return copy
}

function checkedDeliverAt(deliverAt: Date, nowMs: number): number {
  const ms = deliverAt instanceof Date ? deliverAt.getTime() : Number.NaN
  if (!(ms >= 0 && ms <= nowMs + maxDelayMs)) {
    throw new OnefoldError('MESSAGE_INVALID', 'deliverAt must be a valid Date at most ten years ahead.', {
      details: { field: 'deliverAt' },
    })
  }
  return ms
}
