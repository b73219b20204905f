import type { Message } from './message.ts'

/** A structured CloudEvents 1.0 event. Extension attributes stand beside the named ones, as the format wants. */
export interface CloudEvent {
  readonly specversion: '1.0'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: string
  readonly datacontenttype: 'application/json'
  readonly data: unknown
  readonly [attribute: string]: unknown
}

/**
 * A message as a structured CloudEvents 1.0 event, ready for `JSON.stringify`.
 *
 * - `source` must be a URI reference there. One that is not becomes `urn:onefold:` and the percent-encoded text, and so
 *   does one that begins with `urn:onefold:` itself: two sources never end up equal.
 * - `key` is the extension `partitionkey`. `sequence` is the extension `sequence`, padded with zeros to 20 digits because
 *   that extension is compared as text.
 * - A header whose name and value CloudEvents allows is an attribute of the same name (`subject`, `dataschema` and
 *   `traceparent` thus mean what they mean everywhere). All other headers (`X-Trace`, `data`) are in one extension,
 *   `onefoldheaders`, as the text of a JSON object.
 *
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 * @example
 * toCloudEvent({ id: 'd-1', source: 'shop', type: 'paid', time: '2026-01-02T03:04:05.006Z', headers: {}, data: { amount: 5 } })
 */
export function toCloudEvent(message: Message<unknown>): CloudEvent {
  const attributes: [string, string][] = []
  const others: [string, string][] = []
  for (const header of Object.entries(message.headers)) (isAttribute(...header) ? attributes : others).push(header)
  return {
    specversion: '1.0',
    id: message.id,
    source: toUriReference(message.source),
    type: message.type,
    time: message.time,
    datacontenttype: 'application/json',
    ...(message.key ? { partitionkey: message.key } : {}),
    ...(message.sequence === undefined ? {} : { sequence: String(message.sequence).padStart(20, '0') }),
    ...Object.fromEntries(attributes),
    ...(others.length > 0 ? { onefoldheaders: JSON.stringify(Object.fromEntries(others)) } : {}),
    data: message.data,
  }
}

/** Names with a meaning of their own; `schemaurl` and `datacontentencoding` had one before 1.0 and confuse readers. */
const taken = new Set([
  ...['specversion', 'id', 'source', 'type', 'time', 'datacontenttype', 'data', 'partitionkey', 'sequence', 'sequencetype'],
  ...['onefoldheaders', 'schemaurl', 'datacontentencoding'],
])

/** Lone surrogates, control characters and noncharacters are no text in CloudEvents. */
const notText = /[\p{Cc}\p{Surrogate}\p{Noncharacter_Code_Point}]/u

function isAttribute(name: string, value: string): boolean {
  if (!/^[a-z0-9]+$/.test(name) || taken.has(name) || notText.test(value)) return false
  if (name === 'subject') return value !== ''
  if (name === 'dataschema') return absoluteUri.test(value)
  return true
}

// RFC 3986, without IP literals: a reference the expression does not know is encoded, which is always right.
const plain = "[A-Za-z0-9\\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2}"
const segment = `(?:${plain}|[:@])`
const authority = `//(?:(?:${plain}|:)*@)?(?:${plain})*(?::\\d*)?(?:/${segment}*)*`
const rooted = `/(?:${segment}+(?:/${segment}*)*)?`
const tail = `(?:\\?(?:${segment}|[/?])*)?(?:#(?:${segment}|[/?])*)?`
const scheme = '[A-Za-z][A-Za-z0-9+.-]*:'
const absoluteUri = new RegExp(`^${scheme}(?:${authority}|${rooted}|${segment}+(?:/${segment}*)*)${tail}$`)
const relativeReference = new RegExp(`^(?:${authority}|${rooted}|(?:${plain}|@)+(?:/${segment}*)*)${tail}$`)

const encodedSource = 'urn:onefold:'

function toUriReference(source: string): string {
  const verbatim = !source.startsWith(encodedSource) && (absoluteUri.test(source) || relativeReference.test(source))
  return verbatim ? source : `${encodedSource}${encodeURIComponent(source)}`
}
