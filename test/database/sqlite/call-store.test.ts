import { expect, test } from 'vitest'
import type { Session } from '../../../src/database/database.ts'
import { sqlite } from '../../../src/database/sqlite/index.ts'
import { nodeRuntime } from '../../../src/runtime/node-runtime.ts'
import { parked, subscription } from '../../support/parked-messages.ts'
import { TemporaryFile } from '../../support/temporary.ts'

const other = { ...subscription, group: 'other' }
const lease = { name: 'orders/ship/0', epoch: 1n, crashes: 0 }

async function subject() {
  const file = new TemporaryFile()
  const database = sqlite(file.path)
  const app = file.app({ database })
  await app.attention.list()
  const write = <R>(work: (session: Session<unknown>) => R) =>
    database.write(work as never, { what: 'test' }) as Promise<Awaited<R>>
  for (const one of [subscription, other])
    await write((session) => session.groups.declare(one, { startFrom: 'earliest', semantics: 'effectively-once' }))
  const intend = (of: typeof subscription, identity: string, names: readonly string[], round = 1) =>
    write((session) =>
      session.calls.intend(
        of,
        identity,
        names.map((name) => ({ name, round, rule: 'repeat' as const, token: `${identity} ${name} ${round}` })),
        { lease, process: nodeRuntime().process, nowMs: 1 },
      ),
    )
  return { file, write, intend }
}

test('an edited message asks anew for what did not happen: its own newest rounds, of no other message and no other group', async () => {
  const { file, write, intend } = await subject()
  const by = { by: 'call', nowMs: 1 }
  const settle = (of: typeof subscription, identity: string, name: string, round: number, state: 'failed' | 'happened') =>
    write((session) =>
      session.calls.settle(
        of,
        identity,
        { name, round },
        state === 'failed' ? { state, error: { name: 'E', code: 'declined', message: '' } } : { state, result: '1' },
        by,
      ),
    )
  await intend(subscription, 's/a', ['charge', 'ship'])
  await settle(subscription, 's/a', 'charge', 1, 'failed')
  await settle(subscription, 's/a', 'ship', 1, 'happened')
  await intend(subscription, 's/a', ['charge'], 2)
  await settle(subscription, 's/a', 'charge', 2, 'failed')
  await intend(subscription, 's/b', ['charge'])
  await settle(subscription, 's/b', 'charge', 1, 'failed')
  await intend(other, 's/a', ['charge'])
  await settle(other, 's/a', 'charge', 1, 'failed')
  await write((session) => session.calls.renewRounds(subscription, 's/a'))
  expect(
    file
      .rows('select subscription, identity, name, round, state from onefold_call order by 1, 2, 3, 4')
      .map((row) => Object.values(row).join(' ')),
  ).toEqual([
    '1 s/a charge 1 failed',
    '1 s/a charge 2 voided',
    '1 s/a ship 1 happened',
    '1 s/b charge 1 failed',
    '2 s/a charge 1 failed',
  ])
})

test('a journal row is kept as long as its own topic and group remember: by no window of others', async () => {
  const { file, intend } = await subject()
  file.exec(`insert into onefold_window (window, topic, grp) values (1, 'orders', 'ship'), (2, 'orders', 'other'), (3, 'notes', 'ship');
    insert into onefold_generation (generation, window, opened_ms) values (11, 1, 0), (12, 2, 0), (13, 3, 0)`)
  await intend(subscription, 's/a', ['charge'])
  expect(file.column('select generation from onefold_call')).toEqual([11])
})

test('the names that a group must not lose are those of its own messages that are not done', async () => {
  const { write, intend } = await subject()
  await intend(subscription, 's/open', ['charge'])
  await intend(subscription, 's/done', ['retired'])
  await intend(other, 's/open', ['ship'])
  const names = await write(async (session) => {
    await session.parked.park(subscription, '0', [parked('open', 'attention')], 1)
    return session.calls.openNames(subscription)
  })
  expect(names).toEqual(['charge'])
})
