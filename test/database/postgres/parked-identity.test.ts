import { expect, test } from 'vitest'
import { parkedStatuses } from '../../../src/database/postgres/parked-identity.ts'
import { envelope, parked, reason, subscription } from '../../support/parked-messages.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'

test('messages with the identities of parked ones: seen with the same data or after an edit, else reused; the rest is unknown', async () => {
  const stores = await StoresOnPostgres.create()
  await stores.write(async ({ groups }) => {
    await groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' })
    await groups.declare({ ...subscription, group: 'other' }, { startFrom: 'earliest', semantics: 'effectively-once' })
  })
  const numbered = envelope('n', 'a', { sequence: 2n ** 60n })
  const twice = { ...parked('twice', 'behind'), envelope: envelope('twice', 'a', { json: '"other"' }) }
  await stores.write((open) =>
    open.parked.park(
      subscription,
      '0',
      [
        parked('one', 'waiting'),
        parked('edited', 'attention', { reason: reason() }),
        { ...parked('n', 'behind'), envelope: numbered },
        parked('twice', 'behind'),
        twice,
      ],
      100,
    ),
  )
  await stores.write(({ attention }) => attention.revise('a1', { by: 'mia', reason: undefined, atMs: 1, after: '"new"' }))
  const asked = [
    envelope('one'),
    envelope('one', 'a', { json: '"else"' }),
    envelope('unknown'),
    envelope('edited'),
    numbered,
    { ...numbered, sequence: 2n ** 60n + 1n },
    envelope('n'),
    envelope('one', 'a', { source: 't' }),
    envelope('twice'),
    twice.envelope,
    envelope('twice', 'a', { json: '"third"' }),
    envelope('one'),
  ]
  const open = await stores.begin()
  const statuses = await parkedStatuses(open.context.sql, 1, asked)
  expect(open.statements).toHaveLength(1)
  expect(statuses).toEqual([
    'seen',
    'reused',
    undefined,
    'seen',
    'seen',
    undefined,
    undefined,
    undefined,
    'seen',
    'seen',
    'reused',
    'seen',
  ])
  expect(await parkedStatuses(open.context.sql, 2, asked)).toEqual(asked.map(() => undefined))
  expect(await parkedStatuses(open.context.sql, 1, [])).toEqual([])
  await open.commit()
})
