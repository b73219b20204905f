import { describe, expect, test } from 'vitest'
import type { AnyCall, AttentionItem } from '../../src/index.ts'
import { CallFailed, CallUnknown, call, TerminalError } from '../../src/index.ts'
import type { Order } from '../support/attention-process.ts'
import { orders } from '../support/attention-process.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { rejection, until } from '../support/until.ts'

const by = 'mia'
const age = /(less than )?\d+ s ago/

describeOnEngines('actions', (engine) => {
  /** An app whose calls and apply do what `world` says at that moment; `requests` are `name:id:token`. */
  async function subject(names: readonly string[], options: { readonly onAttention?: (item: AttentionItem) => unknown } = {}) {
    const store = await engine.store()
    const app = store.app(options)
    const world: {
      call: (name: string, order: Order) => unknown
      apply: (order: Order) => void
    } = { call: (name) => ({ of: name }), apply: () => undefined }
    const requests: string[] = []
    const seen: unknown[] = []
    const calls = Object.fromEntries(
      names.map((name): [string, AnyCall] => [
        name,
        call(
          (order: Order, { token }) => {
            requests.push(`${name}:${order.id}:${token}`)
            return world.call(name, order)
          },
          { whenUnknown: 'ask-person' },
        ),
      ]),
    )
    app.consume(orders, {
      group: 'ship',
      maxAttempts: 1,
      calls,
      apply: handler(function* (order: Order, { tx, calls: results }: Context) {
        world.apply(order)
        seen.push(results)
        yield store.write(tx, 'insert into effect values (?, ?)', order.id, order.amount ?? 0)
      }),
    })
    const publish = async (...ids: string[]): Promise<void> => {
      await app.publishMany(
        orders,
        ids.map((id) => ({ data: { id, key: id.charAt(0) } })),
      )
    }
    const theItem = async (): Promise<AttentionItem> => {
      const items = await app.attention.list()
      expect(items).toHaveLength(1)
      return items[0]!
    }
    return { store, app, world, requests, seen, publish, theItem }
  }

  const unanswered = (): never => {
    throw new CallUnknown('no answer')
  }

  async function withUnknown(...names: string[]) {
    const it = await subject(names)
    it.world.call = unanswered
    await it.publish('a1', 'a2')
    await it.app.start()
    await it.app.idle()
    it.world.call = (name) => ({ of: name })
    const item = await it.theItem()
    expect(item).toMatchObject({ kind: 'unknown-outcome', behind: 1, envelope: { id: 'a1' } })
    it.requests.length = 0
    return { ...it, item }
  }

  describe('an unknown outcome', () => {
    test('settled as happened: never made again, apply gets the result, and its key goes on', async () => {
      const { app, item, requests, seen, store } = await withUnknown('charge')
      expect(await app.attention.settle(item.id, { as: 'happened', result: { of: 'the phone call' } }, { by })).toBe(true)
      await app.idle()
      expect(requests.map((each) => each.slice(0, 9))).toEqual(['charge:a2'])
      expect(seen).toEqual([{ charge: { of: 'the phone call' } }, { charge: { of: 'charge' } }])
      expect(await store.effects()).toEqual(['a1', 'a2'])
      const shown = await app.attention.show(item.id)
      expect(shown).toMatchObject({ state: 'settled', by, calls: [{ state: 'happened', settledBy: by }] })
      expect(shown.audit).toMatchObject([
        { action: 'settle', by, details: JSON.stringify({ call: 'charge', round: 1, as: 'happened' }) },
      ])
    })

    test.each([
      ['did-not-happen', 'with the same token', true],
      ['voided', 'with a new token', false],
    ] as const)('settled as %s: made again %s', async (as, _, same) => {
      const { app, item, requests, store } = await withUnknown('charge')
      const token = (await app.attention.show(item.id)).calls[0]!.token
      expect(await app.attention.settle(item.id, { call: 'charge', as }, { by, reason: 'asked the bank' })).toBe(true)
      await app.idle()
      expect(requests).toHaveLength(2)
      expect(requests[0] === `charge:a1:${token}`).toBe(same)
      expect(await store.effects()).toEqual(['a1', 'a2'])
    })

    test('of two calls: each is settled by its name, and the message goes on after the last', async () => {
      const { app, item, requests, seen, store } = await withUnknown('charge', 'mail')
      const error = await rejection(app.attention.settle(item.id, { as: 'happened' }, { by }))
      expect(error).toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringContaining('charge, mail') })
      expect(await app.attention.settle(item.id, { call: 'charge', as: 'happened', result: 1 }, { by })).toBe(true)
      expect(await app.attention.settle(item.id, { call: 'charge', as: 'voided' }, { by: 'max' })).toBe(false)
      expect(await app.attention.show(item.id)).toMatchObject({ state: 'open' })
      await app.idle()
      expect(await store.effects()).toEqual([])
      expect(await app.attention.settle(item.id, { as: 'happened', result: 2 }, { by })).toBe(true)
      await app.idle()
      expect(seen[0]).toEqual({ charge: 1, mail: 2 })
      expect(requests.filter((each) => each.includes(':a1:'))).toEqual([])
      expect((await app.attention.show(item.id)).audit).toHaveLength(2)
    })

    test('is neither redriven nor edited nor discarded unseen; the preview says the same', async () => {
      const { app, item, requests } = await withUnknown('charge')
      const { actions } = await app.attention.show(item.id)
      for (const [action, attempt] of [
        ['redrive', () => app.attention.redrive(item.id)],
        ['edit', () => app.attention.edit(item.id, { id: 'a1', key: 'a', amount: 2 }, { by })],
      ] as const) {
        const error = await rejection(attempt())
        expect(error).toMatchObject({ code: 'NOT_POSSIBLE', outcome: 'not-applied', details: { why: 'call-unsettled' } })
        expect(error.message.replace(age, '')).toBe(`${action} ${item.id}: ${actions[action].sentence.replace(age, '')}`)
      }
      const discard = await rejection(app.attention.discard(item.id, { by, reason: 'gone' }))
      expect(discard).toMatchObject({ code: 'NOT_POSSIBLE', details: { why: 'callsStand' } })
      expect(discard.message).toContain('Call charge may have happened')
      expect((await app.attention.show(item.id)).audit).toEqual([])
      expect(await app.attention.discard(item.id, { by, reason: 'gone', callsStand: true })).toBe(true)
      expect(await app.attention.discard(item.id, { by, reason: 'gone', callsStand: true })).toBe(false)
      await app.idle()
      expect(requests.map((each) => each.slice(0, 9))).toEqual(['charge:a2'])
    })

    test('a result that JSON cannot carry, or that is too large, is refused, and nothing has changed', async () => {
      const { app, item } = await withUnknown('charge')
      const settle = (result: unknown) => app.attention.settle(item.id, { as: 'happened', result }, { by })
      expect(await rejection(settle({ at: 1n }))).toMatchObject({
        code: 'MESSAGE_INVALID',
        message: expect.stringContaining('result.at'),
      })
      expect(await rejection(settle('x'.repeat(1024 * 1024)))).toMatchObject({
        code: 'OPTION_INVALID',
        details: { option: 'result' },
      })
      expect(await app.attention.show(item.id)).toMatchObject({ state: 'open', calls: [{ state: 'unknown' }], audit: [] })
    })
  })

  describe('a dead letter with calls', () => {
    test('that fails again after a redrive shows both failures, in the order they happened', async () => {
      const { app, world, publish, theItem } = await subject([])
      world.apply = () => {
        throw new TerminalError('no such account')
      }
      await publish('a1')
      await app.start()
      await app.idle()
      world.apply = () => {
        throw new TerminalError('account closed')
      }
      await app.attention.redrive((await theItem()).id, { by })
      await app.idle()
      const shown = await app.attention.show((await theItem()).id)
      expect(shown.failedAttempts.map(({ attempt, errorMessage }) => [attempt, errorMessage])).toEqual([
        [1, 'no such account'],
        [1, 'account closed'],
      ])
    })

    test('redriven: what happened is not made again, what failed is made again in a new round; the preview said so', async () => {
      const { app, world, requests, theItem, publish, store } = await subject(['charge', 'mail'])
      world.call = (name) => {
        if (name === 'mail') throw new CallFailed('mailbox full', { terminal: true })
        return { charged: true }
      }
      await publish('a1')
      await app.start()
      await app.idle()
      const item = await theItem()
      const shown = await app.attention.show(item.id)
      expect(shown).toMatchObject({ kind: 'dead-letter', failedAttempts: [{ attempt: 1, errorMessage: 'mailbox full' }] })
      expect(shown.actions.redrive).toMatchObject({
        possible: true,
        calls: [
          { call: 'charge', round: 1, fate: 'stands' },
          { call: 'mail', round: 1, fate: 'new-token' },
        ],
      })
      expect(shown.actions.redrive.sentence).toMatch(/Call charge happened .* ago and is not made again/)
      const tokens = new Set(requests)
      requests.length = 0
      world.call = (name) => ({ of: name })
      const thrice = await Promise.all([1, 2, 3].map(() => app.attention.redrive(item.id, { by, reason: 'mailbox emptied' })))
      expect(thrice.toSorted()).toEqual([false, false, true])
      await app.idle()
      expect(requests).toHaveLength(1)
      expect(requests[0]).toMatch(/^mail:a1:/)
      expect(tokens.has(requests[0]!)).toBe(false)
      expect(await store.effects()).toEqual(['a1'])
      const { audit, calls } = await app.attention.show(item.id)
      expect(audit).toMatchObject([{ action: 'redrive', by, reason: 'mailbox emptied' }])
      expect(calls.map(({ name, round, state }) => `${name} ${round} ${state}`)).toEqual([
        'charge 1 happened',
        'mail 1 failed',
        'mail 2 happened',
      ])
    })

    test('discarded only when it is said that its call stands', async () => {
      const { app, world, theItem, publish } = await subject(['charge'])
      world.apply = () => {
        throw new TerminalError('no such account')
      }
      await publish('a1')
      await app.start()
      await app.idle()
      const item = await theItem()
      expect(await rejection(app.attention.discard(item.id, { by, reason: 'no account' }))).toMatchObject({
        code: 'NOT_POSSIBLE',
        message: expect.stringMatching(/Call charge happened .* ago.*--calls-stand/),
      })
      expect(await app.attention.discard(item.id, { by, reason: 'no account', callsStand: true })).toBe(true)
    })
  })

  describe('what is handed in', () => {
    test('who acts is a text, trimmed and bounded; a reason as well', async () => {
      const { app, item } = await withUnknown('charge')
      for (const wrong of ['', '  ', 'x'.repeat(201), 7, undefined]) {
        const options = { by: wrong as string, reason: 'why' }
        for (const attempt of [
          app.attention.discard(item.id, { ...options, callsStand: true }),
          app.attention.settle(item.id, { as: 'voided' }, options),
          app.attention.edit(item.id, {}, options),
        ])
          expect(await rejection(attempt)).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'by' } })
      }
      expect(await rejection(app.attention.redrive(item.id, { by: ' ' }))).toMatchObject({ code: 'OPTION_INVALID' })
      expect(await rejection(app.attention.discard(item.id, { by, reason: ' ', callsStand: true }))).toMatchObject({
        details: { option: 'reason' },
      })
      expect(await rejection(app.attention.settle(item.id, { as: 'maybe' as 'voided' }, { by }))).toMatchObject({
        details: { option: 'as' },
      })
      expect(await rejection(app.attention.list({ kind: 'poison' as 'dead-letter' }))).toMatchObject({
        details: { option: 'kind' },
      })
      expect(await rejection(app.attention.list({ limit: 0 }))).toMatchObject({ details: { option: 'limit' } })
      expect(await app.attention.settle(item.id, { as: 'happened' }, { by: '  mia ' })).toBe(true)
      expect(await app.attention.show(item.id)).toMatchObject({ by: 'mia', audit: [{ by: 'mia' }] })
    })

    test('an id that is not there is NOT_FOUND, whatever is asked for', async () => {
      const { app } = await subject(['charge'])
      for (const id of ['a999', 'nonsense', ''])
        for (const attempt of [
          () => app.attention.show(id),
          () => app.attention.redrive(id),
          () => app.attention.edit(id, {}, { by }),
          () => app.attention.discard(id, { by, reason: 'x' }),
          () => app.attention.settle(id, { as: 'voided' }, { by }),
        ])
          expect(await rejection(attempt())).toMatchObject({ code: 'NOT_FOUND', details: { id } })
    })
  })

  describe('onAttention', () => {
    test('may act on the item, and may stop the app', async () => {
      const acted: unknown[] = []
      const { app, world, publish } = await subject(['charge'], {
        onAttention: async ({ id, envelope }) => {
          if (envelope.id === 'a1')
            acted.push(await app.attention.discard(id, { by: 'policy', reason: 'test', callsStand: true }))
          else await app.stop()
          acted.push(envelope.id)
        },
      })
      world.apply = () => {
        throw new TerminalError('never')
      }
      await publish('a1')
      await app.start()
      await until(() => acted.length === 2, 'the discarding')
      await publish('b1')
      await until(() => acted.length === 3, 'the stop')
      expect(acted).toEqual([true, 'a1', 'b1'])
    })

    test('is told of each item after its commit; what it throws reaches nobody', async () => {
      const told: Promise<string>[] = []
      const { app, world, publish, store } = await subject(['charge'], {
        onAttention: (item) => {
          const state = async () => {
            const [now] = await store.column(
              `select state from ${store.table('attention')} where attention = ?`,
              Number(item.id.slice(1)),
            )
            return `${item.kind} ${item.topic}/${item.group} ${item.envelope.id} ${now}`
          }
          told.push(state())
          expect(item.fingerprint).not.toBe('')
          throw new Error('the pager is broken')
        },
      })
      world.call = (_, order) => (order.id === 'a1' ? unanswered() : 1)
      world.apply = ({ id }) => {
        if (id === 'b1') throw new TerminalError('never')
      }
      await publish('a1', 'b1', 'c1')
      await app.start()
      await app.idle()
      await until(() => told.length === 2, 'both items')
      expect((await Promise.all(told)).toSorted()).toEqual([
        'dead-letter orders/ship b1 open',
        'unknown-outcome orders/ship a1 open',
      ])
      expect(await store.effects()).toEqual(['c1'])
      await app.stop()
      expect(told).toHaveLength(2)
    })
  })

  test('inside apply an action is refused at once: it would wait for the transaction it is called in', async () => {
    const { app, world, publish, theItem } = await subject(['charge'])
    let attempt: Promise<unknown> | undefined
    world.apply = () => {
      attempt ??= rejection(app.attention.redrive('a1'))
      throw new TerminalError('never')
    }
    await publish('a1')
    await app.start()
    await app.idle()
    expect(await attempt).toMatchObject({ code: 'NOT_POSSIBLE', message: expect.stringContaining('inside apply') })
    expect(await theItem()).toMatchObject({ state: 'open' })
  })

  test('what failed alike is one group; filters find by kind, fingerprint and key', async () => {
    const { app, world, publish } = await subject(['charge'])
    world.call = (_, { id }) => (id.startsWith('u') ? unanswered() : 1)
    world.apply = ({ id }) => {
      throw id.startsWith('x') ? new TypeError('x') : new TerminalError('t')
    }
    await publish('u1', 'v1', 'w1', 'x1', 'y1')
    await app.start()
    await app.idle()
    const groups = await app.attention.groups()
    const [most, ...others] = groups.map(({ kind, count }) => `${count} ${kind}`)
    expect([most, ...others.toSorted()]).toEqual(['3 dead-letter', '1 dead-letter', '1 unknown-outcome'])
    expect(groups[0]).toMatchObject({ topic: 'orders', group: 'ship', errorName: 'TerminalError', errorMessage: 't' })
    const ids = async (filter: object) => (await app.attention.list(filter)).map(({ envelope }) => envelope.id).toSorted()
    expect(await ids({ fingerprint: groups[0]!.fingerprint })).toEqual(['v1', 'w1', 'y1'])
    expect(await ids({ kind: 'unknown-outcome' })).toEqual(['u1'])
    expect(await ids({ key: 'x' })).toEqual(['x1'])
    expect(await ids({ group: 'other' })).toEqual([])
    expect(await app.attention.groups({ state: 'discarded' })).toEqual([])
  })
})
