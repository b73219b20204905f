import { toCanonicalJson } from '../canonical-json.ts'
import { OnefoldError, optionInvalid } from '../errors.ts'
import type { AnyTopic } from '../topic.ts'
import { parseData, schemaError, topicLimits } from '../topic.ts'
import type { Settlement } from './attention.ts'
import type { AttentionFilter } from './attention-store.ts'

const maxByChars = 200
const maxReasonChars = 2_000
/** As of an answer that a call gave itself. */
const maxResultChars = 1024 * 1024
const maxLimit = 100_000

const kinds = ['dead-letter', 'unknown-outcome', 'late-message']
const states = ['open', 'redriven', 'discarded', 'settled', 'all']
const outcomes = ['happened', 'did-not-happen', 'voided']

export function checkedFilter(filter: AttentionFilter): AttentionFilter {
  for (const option of ['topic', 'group', 'fingerprint', 'key'] as const) {
    const value: unknown = filter[option]
    if (value !== undefined && typeof value !== 'string') throw optionInvalid(option, value, 'a text')
  }
  if (filter.kind !== undefined && !kinds.includes(filter.kind))
    throw optionInvalid('kind', filter.kind, `one of ${kinds.join(', ')}`)
  if (filter.state !== undefined && !states.includes(filter.state))
    throw optionInvalid('state', filter.state, `one of ${states.join(', ')}`)
  const { limit } = filter
  if (limit !== undefined && (!Number.isSafeInteger(limit) || limit < 1 || limit > maxLimit))
    throw optionInvalid('limit', limit, `a whole number from 1 to ${maxLimit}`)
  return filter
}

/** Whoever acts says who. */
export function checkedBy(by: unknown): string {
  return checkedText('by', by, maxByChars)
}

export function checkedReason(reason: unknown): string {
  return checkedText('reason', reason, maxReasonChars)
}

export function optional<R>(check: (value: unknown) => R, value: unknown): R | undefined {
  return value === undefined ? undefined : check(value)
}

export function checkedExpect(expect: number | undefined): number | undefined {
  if (expect !== undefined && (!Number.isSafeInteger(expect) || expect < 0))
    throw optionInvalid('expect', expect, 'a whole number: the count that was seen')
  return expect
}

/** The result as JSON. @throws OnefoldError `OPTION_INVALID`, `MESSAGE_INVALID` naming the path in the result. */
export function checkedSettlement(settlement: Settlement): { readonly result: string | undefined } {
  const { call, as } = settlement ?? {}
  if (!outcomes.includes(as)) throw optionInvalid('as', as, `one of ${outcomes.join(', ')}`)
  if (call !== undefined && typeof call !== 'string') throw optionInvalid('call', call, 'the name of a call')
  const { result } = settlement as { readonly result?: unknown }
  if (result === undefined) return { result: undefined }
  if (as !== 'happened') throw optionInvalid('result', result, `left out: what is settled as ${as} has no result`)
  const json = toCanonicalJson(result, 'result')
  if (json.length > maxResultChars)
    throw optionInvalid('result', result, `at most ${maxResultChars} characters of JSON, and this is ${json.length}`)
  return { result: json }
}

/** Edited data as canonical JSON, checked as if it were published; as far as it can be where the topic is not known. */
export async function checkedData(topicName: string, topic: AnyTopic | undefined, data: unknown, id: string): Promise<string> {
  const json = toCanonicalJson(data)
  const maxDataBytes = topic?.settings.maxDataBytes ?? topicLimits.maxDataBytes
  const bytes = Buffer.byteLength(json)
  if (bytes > maxDataBytes) {
    throw new OnefoldError(
      'MESSAGE_TOO_LARGE',
      `the data has ${bytes} bytes of JSON; maxDataBytes of topic ${topicName} is ${maxDataBytes}.`,
      { details: { topic: topicName, id, bytes, maxDataBytes } },
    )
  }
  if (topic === undefined) return json
  const parsed = await parseData(topic, data)
  if ('failures' in parsed) throw schemaError(topic, parsed.failures, id)
  return json
}

function checkedText(option: string, value: unknown, maxChars: number): string {
  const text = typeof value === 'string' ? value.trim() : ''
  if (text === '' || text.length > maxChars || !text.isWellFormed())
    throw optionInvalid(option, value, `a text of 1 to ${maxChars} characters: whoever acts says who, and why`)
  return text
}
