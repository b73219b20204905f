import { CloudEvent } from 'cloudevents'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Message } from '../src/message.ts'
import { toCloudEvent } from '../src/message-cloudevents.ts'

const base: Message<unknown> = {
  id: 'd-1',
  source: 'shop',
  type: 'payments',
  time: '2026-01-02T03:04:05.006Z',
  headers: {},
  data: { amount: 5 },
}

/** The public implementation of CloudEvents, strict: it throws on anything the specification refuses. */
function judge(event: object): CloudEvent<unknown> {
  return new CloudEvent<unknown>(event)
}

describe('a message as a CloudEvent', () => {
  test('has the named attributes and the data', () => {
    expect(toCloudEvent(base)).toEqual({
      specversion: '1.0',
      id: 'd-1',
      source: 'shop',
      type: 'payments',
      time: '2026-01-02T03:04:05.006Z',
      datacontenttype: 'application/json',
      data: { amount: 5 },
    })
  })

  test('carries key and sequence as the documented extensions', () => {
    const event = toCloudEvent({ ...base, key: 'account 7', sequence: 42n })
    expect(event).toMatchObject({ partitionkey: 'account 7', sequence: '00000000000000000042' })
    expect(judge(event)).toMatchObject({ partitionkey: 'account 7', sequence: '00000000000000000042' })
  })

  test('sequences compare as text in the order of their numbers', () => {
    const text = (sequence: bigint) => String(toCloudEvent({ ...base, sequence }).sequence)
    expect([10n, 9n, 2n ** 63n - 1n, 0n].map(text).sort()).toEqual([0n, 9n, 10n, 2n ** 63n - 1n].map(text))
  })

  test('legal headers become attributes, the others one extension', () => {
    const headers = {
      subject: 'order/7',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      'X-GitHub-Event': 'push',
      id: 'not the id',
      constructor: 'c',
      note: 'two\nlines',
      dataschema: 'not absolute',
      schemaurl: 'https://example.org/old',
    }
    const event = toCloudEvent({ ...base, headers })
    expect(event).toMatchObject({ id: 'd-1', subject: 'order/7', traceparent: headers.traceparent, constructor: 'c' })
    expect(event).not.toHaveProperty('note')
    expect(JSON.parse(String(event.onefoldheaders))).toEqual({
      'X-GitHub-Event': 'push',
      id: 'not the id',
      note: 'two\nlines',
      dataschema: 'not absolute',
      schemaurl: 'https://example.org/old',
    })
    judge(event)
  })

  test.each([
    ['shop', 'shop'],
    ['/sensors/tn-1234567/alerts', '/sensors/tn-1234567/alerts'],
    ['https://example.org/a%20b?x=1#y', 'https://example.org/a%20b?x=1#y'],
    ['urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66', 'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66'],
    ['my shop', 'urn:onefold:my%20shop'],
    ['Bücher', 'urn:onefold:B%C3%BCcher'],
    ['100%', 'urn:onefold:100%25'],
    ['urn:onefold:my%20shop', 'urn:onefold:urn%3Aonefold%3Amy%2520shop'],
  ])('source %s is written %s', (source, written) => {
    const event = toCloudEvent({ ...base, source })
    expect(event.source).toBe(written)
    judge(event)
  })

  test('whatever the message, the public implementation accepts the event and keeps every attribute', () => {
    const text = fc.string({ unit: 'binary', maxLength: 20 })
    const filled = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
    const name = fc.oneof(
      fc.stringMatching(/^[a-z0-9]{1,12}$/),
      fc.constantFrom('id', 'data', 'subject', 'dataschema', 'time', 'schemaurl'),
      text,
    )
    const message = fc.record({
      id: filled,
      source: filled,
      type: filled,
      key: filled,
      sequence: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      headers: fc.dictionary(name, text, { maxKeys: 5 }),
      data: fc.jsonValue(),
    })
    fc.assert(
      fc.property(message, (fields) => {
        const sent = toCloudEvent({ ...base, ...fields })
        const received: Record<string, unknown> = { ...judge(JSON.parse(JSON.stringify(sent)) as object) }
        for (const [attribute, value] of Object.entries(sent)) {
          expect(received[attribute]).toEqual(JSON.parse(JSON.stringify(value)))
        }
        const others = JSON.parse(String(sent.onefoldheaders ?? '{}')) as object
        const attributes = Object.keys(fields.headers).filter((header) => !Object.hasOwn(others, header))
        for (const header of attributes) expect(sent[header]).toBe(fields.headers[header])
      }),
      { numRuns: 300 },
    )
  })

  test('two different sources never become one', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const written = [a, b, `urn:onefold:${encodeURIComponent(a)}`].map((source) => toCloudEvent({ ...base, source }).source)
        expect(new Set(written).size).toBe(new Set([a, b, `urn:onefold:${encodeURIComponent(a)}`]).size)
      }),
    )
  })
})
