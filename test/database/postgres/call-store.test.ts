import { describe, expect, test } from 'vitest'
import type { CallIntent } from '../../../src/calls/call-store.ts'
import { parked, subscription } from '../../support/parked-messages.ts'
import type { Open } from '../../support/postgres-stores.ts'
import { StoresOnPostgres } from '../../support/postgres-stores.ts'
import { rejection } from '../../support/until.ts'

const lease = { name: 'orders/ship/0', epoch: 2n ** 60n, crashes: 0 }
const claim = { lease, process: { pid: 7, host: 'h', startedAt: 'then' }, nowMs: 50, key: 'a' }
const intent = (name: string, round = 1): CallIntent => ({ name, round, rule: 'repeat', token: `${name}-${round}` })
const error = { name: 'E\u0000', code: 'C', message: 'half \ud800' }
const how = { by: 'call', nowMs: 60 }

async function subject() {
  const stores = await StoresOnPostgres.create()
  await stores.write(({ groups }) => groups.declare(subscription, { startFrom: 'earliest', semantics: 'effectively-once' }))
  const intend = (...intents: CallIntent[]) => stores.write(({ calls }) => calls.intend(subscription, 's/one', intents, claim))
  const settle = (open: Open, name: string, state: 'happened' | 'failed' | 'unknown' | 'did-not-happen', round = 1) =>
    open.calls.settle(
      subscription,
      's/one',
      { name, round },
      state === 'happened' ? { state, result: '{"ok":1}' } : state === 'did-not-happen' ? { state } : { state, error },
      how,
    )
  const states = async () =>
    (await stores.write(({ calls }) => calls.history(subscription, 's/one'))).map(
      ({ name, round, state, requests }) => `${name} ${round} ${state} ${requests}`,
    )
  return { stores, intend, settle, states }
}

describe('the call store on PostgreSQL', () => {
  test('intents of a message are recorded by one statement, and read as they were written', async () => {
    const { stores, states } = await subject()
    const open = await stores.begin()
    await open.calls.intend(subscription, 's/one', [intent('mail'), intent('charge')], claim)
    expect(open.statements.filter((text) => text.includes('.call'))).toHaveLength(1)
    await open.commit()
    expect(await states()).toEqual(['charge 1 intent 1', 'mail 1 intent 1'])
    const [charge] = await stores.write(({ calls }) => calls.get(subscription, 's/one'))
    expect(charge).toEqual({
      ...intent('charge'),
      state: 'intent',
      requests: 1,
      lease: { name: lease.name, epoch: lease.epoch },
      process: claim.process,
      intentMs: 50,
      settledMs: undefined,
      settledBy: undefined,
      result: undefined,
      error: undefined,
    })
    expect(await stores.column('select distinct key from {s}.call')).toEqual(['a'])
  })

  test('a round is settled once, and opened again only where it may not have happened', async () => {
    const { stores, intend, settle, states } = await subject()
    await intend(intent('a'), intent('b'), intent('c'), intent('d'))
    await stores.write(async (open) => {
      expect(await settle(open, 'a', 'happened')).toBe(true)
      expect(await settle(open, 'a', 'failed')).toBe(false)
      expect(await settle(open, 'b', 'failed')).toBe(true)
      expect(await settle(open, 'c', 'unknown')).toBe(true)
      expect(await settle(open, 'd', 'did-not-happen')).toBe(true)
      expect(await settle(open, 'e', 'happened')).toBe(false)
    })
    const [a, b] = await stores.write(({ calls }) => calls.history(subscription, 's/one'))
    expect(a).toMatchObject({ result: '{"ok":1}', error: undefined, settledMs: 60, settledBy: 'call' })
    expect(b).toMatchObject({ result: undefined, error: { name: 'E\uFFFD', code: 'C', message: 'half \uFFFD' } })
    await intend(intent('c'), intent('d'), intent('b', 2))
    expect(await states()).toEqual(['a 1 happened 1', 'b 1 failed 1', 'b 2 intent 1', 'c 1 intent 2', 'd 1 intent 2'])
    for (const name of ['a', 'b']) {
      expect(await rejection(intend(intent('c'), intent(name), intent('new')))).toMatchObject({
        message: `round 1 of call ${name} for s/one is settled; it cannot be made again`,
      })
    }
    expect(await states()).toHaveLength(5)
  })

  test('the outcome commits while another intends the same round: that one waits, and is refused', async () => {
    const { stores, intend, settle } = await subject()
    await intend(intent('mail'))
    const settling = await stores.begin()
    await settle(settling, 'mail', 'happened')
    const late = await stores.begin()
    const intended = rejection(late.calls.intend(subscription, 's/one', [intent('charge'), intent('mail')], claim))
    await late.blocked()
    await settling.commit()
    expect(await intended).toMatchObject({ message: expect.stringContaining('round 1 of call mail for s/one is settled') })
    await late.rollback()
  })

  test('of two who settle one round at once one does', async () => {
    const { stores, intend, settle, states } = await subject()
    await intend(intent('mail'))
    const [first, second] = [await stores.begin(), await stores.begin()]
    expect(await settle(first, 'mail', 'happened')).toBe(true)
    const settled = settle(second, 'mail', 'failed')
    await second.blocked()
    await first.commit()
    expect(await settled).toBe(false)
    await second.commit()
    expect(await states()).toEqual(['mail 1 happened 1'])
  })

  test('after an edit, what failed or did not happen is made under a new token; names of open messages are told', async () => {
    const { stores, intend, settle, states } = await subject()
    await intend(intent('a'), intent('b'), intent('c'))
    await stores.write(async (open) => {
      await settle(open, 'a', 'happened')
      await settle(open, 'b', 'failed')
      await settle(open, 'c', 'did-not-happen')
    })
    await intend(intent('b', 2))
    await stores.write(({ calls }) => calls.renewRounds(subscription, 's/one'))
    expect(await states()).toEqual(['a 1 happened 1', 'b 1 failed 1', 'b 2 intent 1', 'c 1 voided 1'])
    const openNames = () => stores.write(({ calls }) => calls.openNames(subscription))
    expect(await openNames()).toEqual([])
    await stores.write((open) => open.parked.park(subscription, '0', [parked('one', 'waiting')], 0))
    expect(await openNames()).toEqual(['a', 'b', 'c'])
    expect(await stores.write(({ calls }) => calls.openNames({ topic: 'other', group: 'g' }))).toEqual([])
  })
})
