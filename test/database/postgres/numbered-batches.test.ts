import { expect, test } from 'vitest'
import type { Envelope } from '../../../src/message.ts'
import { withOutboxNumber } from '../../../src/outbox-number.ts'
import { envelope, subscription } from '../../support/parked-messages.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

const from = (series: string, number: number, more: Partial<Envelope> = {}): Envelope =>
  withOutboxNumber(envelope(`${series}${number}`, 'a', more), { series, number: BigInt(number) })

async function subject() {
  const stores = await StoresOnPostgres.create()
  await stores.write(({ groups }) => groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' }))
  // Nobody waits for the window itself to be made.
  await stores.write(({ inbox }) => inbox.claim(subscription, [envelope('before')]))
  return stores
}

test('two batches that are claimed part by part, with numbers of the same outboxes and producers in opposite orders, do not wait in a circle', async () => {
  const stores = await subject()
  const parts = (number: number): Envelope[] => [
    from('x', number),
    envelope(`p${number}`, 'a', { source: 'p', sequence: BigInt(number) }),
    from('y', number, { source: 'q', sequence: BigInt(number) }),
  ]
  const [one, other] = [parts(1), parts(2).toReversed()]
  const first = await stores.begin()
  await first.inbox.lockSets(subscription, one)
  expect(await first.inbox.claim(subscription, one.slice(0, 1))).toEqual(['new'])
  const second = await stores.begin()
  const locked = second.inbox.lockSets(subscription, other)
  await second.blocked()
  // The other has none of what this one still needs.
  expect(await first.inbox.claim(subscription, one.slice(1))).toEqual(['new', 'new'])
  await first.commit()
  await locked
  for (const part of other) expect(await second.inbox.claim(subscription, [part])).toEqual(['new'])
  await second.commit()
  expect(await stores.rows('select source, ranges from {s}.sequence order by source')).toEqual([
    { source: 'outbox x', ranges: '[1,2]' },
    { source: 'outbox y', ranges: '[1,2]' },
    { source: 'p', ranges: '[1,2]' },
    { source: 'q', ranges: '[1,2]' },
  ])
})

test('the same number at two receivers of a group at once: one waits for the other, and finds it received', async () => {
  const stores = await subject()
  const [first, second] = [await stores.begin(), await stores.begin()]
  expect(await first.inbox.claim(subscription, [from('x', 1)])).toEqual(['new'])
  const claimed = second.inbox.claim(subscription, [from('x', 1)])
  await second.blocked()
  await first.commit()
  expect(await claimed).toEqual(['seen'])
  await second.commit()
})

test('many numbers are looked up and recorded in three statements more than ids alone', async () => {
  const stores = await subject()
  const many = (first: number): Envelope[] => Array.from({ length: 300 }, (_, n) => from(n % 2 === 0 ? 'x' : 'y', first + n))
  await stores.write(({ inbox }) => inbox.claim(subscription, many(1)))
  const plain = await stores.begin()
  await plain.inbox.claim(
    subscription,
    many(1_000).map((one) => ({ ...one, headers: {} })),
  )
  await plain.rollback()
  const numbered = await stores.begin()
  await numbered.inbox.claim(subscription, many(1_000))
  await numbered.commit()
  expect(numbered.statements.length - plain.statements.length).toBe(3)
})
