import { expect, test } from 'vitest'
import { outboxNumberOf, withOutboxNumber, withoutOutboxNumber } from '../src/outbox-number.ts'
import { envelope } from './support/parked-messages.ts'

const number = { series: '0c8f/orders/7', number: 12n }
const sent = withOutboxNumber(envelope('a', 'k', { headers: { tenant: 't' } }), number)

test('a number travels in two headers beside the message’s own, and comes back as it was; a handler sees only its own', () => {
  expect(sent.headers).toEqual({ tenant: 't', 'onefold-outbox': '0c8f/orders/7', 'onefold-outbox-sequence': '12' })
  expect(outboxNumberOf(sent)).toEqual(number)
  expect(withoutOutboxNumber(sent.headers)).toEqual({ tenant: 't' })
  expect(withoutOutboxNumber(withOutboxNumber(envelope('a'), number).headers)).toEqual({})
  expect(outboxNumberOf(envelope('a'))).toBeUndefined()
})

test.each([
  ['onefold-outbox-sequence', '0'],
  ['onefold-outbox-sequence', '01'],
  ['onefold-outbox-sequence', '-1'],
  ['onefold-outbox-sequence', '1.5'],
  ['onefold-outbox-sequence', ''],
  ['onefold-outbox-sequence', '9223372036854775808'],
  ['onefold-outbox', ''],
  ['onefold-outbox', 'two words'],
  ['onefold-outbox', 'a\u0000b'],
  ['onefold-outbox', 'x'.repeat(401)],
])('header %s with %j is none that a relay writes: the message has no number', (header, value) => {
  expect(outboxNumberOf({ headers: { ...sent.headers, [header]: value } })).toBeUndefined()
})

test('the highest number there can be is one', () => {
  expect(outboxNumberOf({ headers: { ...sent.headers, 'onefold-outbox-sequence': '9223372036854775807' } })?.number).toBe(
    2n ** 63n - 1n,
  )
})
