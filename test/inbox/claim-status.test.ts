import { expect, test } from 'vitest'
import { OnefoldError } from '../../src/errors.ts'
import { claimStatus } from '../../src/inbox/claim-status.ts'
import { withOutboxNumber } from '../../src/outbox-number.ts'
import { envelope } from '../support/parked-messages.ts'

const numbered = withOutboxNumber(envelope('a'), { series: 'x/orders/0', number: 5n })
const gaps = new OnefoldError('GAPS_EXCEEDED', 'too many')
const status = (id: Parameters<typeof claimStatus>[0], number: Parameters<typeof claimStatus>[1]) =>
  claimStatus(id, number, numbered)

test('a new number leaves it to the id; one that was received says so for ever, also when the id has been forgotten', () => {
  for (const id of ['new', 'seen', 'id-reused', 'too-old'] as const) {
    expect(status(id, undefined)).toBe(id)
    expect(status(id, 'new')).toBe(id)
  }
  for (const id of ['seen', 'id-reused', 'too-old', gaps] as const) expect(status(id, 'seen')).toBe('seen')
})

test('a received number with an id that is certainly new is another message under a used number: a person hears of it', () => {
  const error = status('new', 'seen')
  expect(error).toMatchObject({ code: 'ID_REUSED', details: { id: 'a', source: 's', outbox: 'x/orders/0', sequence: '5' } })
  expect((error as OnefoldError).message).toMatch(/number 5 of outbox x\/orders\/0.*put back to an older state/)
})

test('a number that cannot be recorded is an error, unless the id is known', () => {
  expect(status('seen', gaps)).toBe('seen')
  for (const id of ['new', 'too-old', 'id-reused'] as const) expect(status(id, gaps)).toBe(gaps)
})
