import { describe, expect, test } from 'vitest'
import type { AttentionKind } from '../../src/index.ts'
import { CallFailed, CallUnknown, call, TerminalError } from '../../src/index.ts'
import type { Order } from '../support/attention-process.ts'
import { orders } from '../support/attention-process.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { rejection } from '../support/until.ts'

const by = 'mia'

describeOnEngines('late and bulk', (engine) => {
  describe('a late message', () => {
    /** a1 came too late and is held; a2 of the same key waits behind it. */
    async function withLate() {
      const store = await engine.store()
      const database = store.database()
      const app = store.app({ database })
      app.consume(orders, 'ship', ({ id }: Order, { tx }) => store.write(tx, 'insert into effect values (?, 0)', id))
      await app.start()
      await app.idle()
      const reason = {
        kind: 'late-message' as AttentionKind,
        fingerprint: 'late',
        errorName: 'Late',
        errorMessage: 'too old',
        errorStack: '',
      }
      const message = (id: string) => ({
        envelope: {
          id,
          source: 'orders',
          key: 'a',
          type: 'orders',
          timeMs: 1,
          headers: {},
          json: JSON.stringify({ id, key: 'a' }),
        },
        attempts: 0,
        crashes: 0,
        dueMs: 0,
        lane: 'a',
      })
      await database.write(
        (session) =>
          session.parked.park(
            { topic: 'orders', group: 'ship' },
            '0',
            [
              { ...message('a1'), state: 'attention', reason },
              { ...message('a2'), state: 'behind' },
            ],
            1,
          ),
        { what: 'test' },
      )
      const [item] = await app.attention.list()
      expect(item).toMatchObject({ kind: 'late-message', behind: 1 })
      return { store, app, item: item! }
    }

    test.each([
      ['happened', ['a2']],
      ['did-not-happen', ['a1', 'a2']],
    ] as const)('settled as %s: applied are %j', async (as, applied) => {
      const { store, app, item } = await withLate()
      expect(await app.attention.settle(item.id, { as }, { by })).toBe(true)
      expect(await app.attention.settle(item.id, { as }, { by: 'max' })).toBe(false)
      await app.idle()
      expect(await store.effects()).toEqual(applied)
      expect(await app.attention.show(item.id)).toMatchObject({ state: 'settled', by, audit: [{ action: 'settle', by }] })
    })

    test('is not redriven or edited, and a call of it is not settled', async () => {
      const { app, item } = await withLate()
      expect(await rejection(app.attention.redrive(item.id))).toMatchObject({
        code: 'NOT_POSSIBLE',
        details: { why: 'late-message' },
      })
      expect(await rejection(app.attention.edit(item.id, { id: 'a1', key: 'b' }, { by }))).toMatchObject({ code: 'NOT_POSSIBLE' })
      expect(await rejection(app.attention.settle(item.id, { as: 'voided' }, { by }))).toMatchObject({
        details: { why: 'not-for-late' },
      })
      expect(await app.attention.discard(item.id, { by, reason: 'x' })).toBe(true)
    })
  })

  describe('in bulk', () => {
    /** Ten dead letters, one unknown outcome, and one dead letter whose call happened. */
    async function withTrouble() {
      const store = await engine.store()
      const app = store.app()
      const world = { broken: true }
      app.consume(orders, {
        group: 'ship',
        maxAttempts: 1,
        calls: {
          charge: call(
            ({ id }: Order) => {
              if (id === 'unknown') throw new CallUnknown('no answer')
              if (id !== 'charged' && world.broken) throw new CallFailed('declined', { terminal: true })
              return 1
            },
            { whenUnknown: 'ask-person' },
          ),
        },
        apply: handler(function* ({ id }: Order, { tx }) {
          if (world.broken) throw new TerminalError('closed')
          yield store.write(tx, 'insert into effect values (?, 0)', id)
        }),
      })
      const ids = ['unknown', 'charged', ...Array.from({ length: 10 }, (_, number) => `${number}`)]
      await app.publishMany(
        orders,
        ids.map((id) => ({ data: { id, key: id } })),
      )
      await app.start()
      await app.idle()
      return { store, app, world }
    }

    test('the preview counts what would be done and what would be refused, and why; then exactly that happens', async () => {
      const { store, app, world } = await withTrouble()
      const preview = await app.attention.preview({}, 'redrive')
      expect(preview).toMatchObject({ count: 12, refused: 1 })
      const [declined, ...others] = preview.groups.map(({ kind, count, refusals }) => ({
        kind,
        count,
        refusals: refusals.map(({ why }) => why),
      }))
      expect(declined).toEqual({ kind: 'dead-letter', count: 10, refusals: [] })
      // Which of the two came to attention first is not said.
      expect(others.toSorted((one, other) => one.refusals.length - other.refusals.length)).toEqual([
        { kind: 'dead-letter', count: 1, refusals: [] },
        { kind: 'unknown-outcome', count: 1, refusals: ['call-unsettled'] },
      ])
      expect(await rejection(app.attention.redriveAll({}, { by, expect: 11 }))).toMatchObject({
        code: 'NOT_POSSIBLE',
        details: { count: 12, expect: 11 },
      })
      expect((await app.attention.list()).length).toBe(12)
      world.broken = false
      const [first, second] = await Promise.all([
        app.attention.redriveAll({}, { by, expect: 12 }),
        app.attention.redriveAll({}, { by: 'max', expect: 12 }),
      ])
      expect(first.done + second.done).toBe(11)
      expect(first).toMatchObject({
        refused: 1,
        refusals: [{ why: 'call-unsettled', count: 1, sentence: expect.stringContaining('settle it') }],
      })
      expect(first.done + first.already).toBe(11)
      await app.idle()
      expect(await store.effects()).toHaveLength(11)
      expect((await app.attention.list()).map(({ envelope }) => envelope.id)).toEqual(['unknown'])
    })

    test('what fails again while it runs is left alone: nothing is redriven in a circle', async () => {
      const { app } = await withTrouble()
      expect(await app.attention.redriveAll({ kind: 'dead-letter' }, { by })).toMatchObject({ done: 11, already: 0, refused: 0 })
      await app.idle()
      expect(await app.attention.list({ kind: 'dead-letter' })).toHaveLength(11)
    })

    test('discard by fingerprint: calls that happened keep their messages unless it is said that they stand', async () => {
      const { app } = await withTrouble()
      const [declined] = await app.attention.groups()
      const said = { by, reason: 'test data' }
      expect(await app.attention.discardAll({ fingerprint: declined!.fingerprint }, { ...said, expect: 10 })).toMatchObject({
        done: 10,
      })
      expect(await app.attention.preview({}, 'discard')).toMatchObject({ count: 2, refused: 2 })
      expect(await app.attention.preview({}, 'discard', { callsStand: true })).toMatchObject({ count: 2, refused: 0 })
      expect(await app.attention.discardAll({}, said)).toMatchObject({
        done: 0,
        already: 0,
        refused: 2,
        refusals: [{ why: 'callsStand', count: 2 }],
      })
      expect(await app.attention.discardAll({}, { ...said, callsStand: true })).toMatchObject({ done: 2, refused: 0 })
      expect(await app.attention.list()).toEqual([])
    })
  })

  test('a group that is removed takes the history of its items with it', async () => {
    const store = await engine.store()
    const app = store.app()
    app.consume(orders, {
      group: 'ship',
      maxAttempts: 1,
      calls: { charge: call(() => 1) },
      apply: () => Promise.reject(new TerminalError('no')),
    })
    await app.publish(orders, { id: 'a', key: 'a' })
    await app.start()
    await app.idle()
    const [item] = await app.attention.list()
    await app.attention.edit(item!.id, { id: 'a', key: 'a', amount: 1 }, { by })
    await app.idle()
    await app.stop()
    const tool = store.app()
    await tool.groups.remove('orders', 'ship')
    for (const table of ['attention', 'audit', 'revision', 'attempt', 'call', 'parked'])
      expect(await store.column<number>(`select count(*) from ${store.table(table)}`)).toEqual([0])
  })
})
