import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CallUnknown, call, TerminalError } from '../../src/index.ts'
import type { AttentionProcessConfig, Order } from '../support/attention-process.ts'
import { attentionProcess, orders } from '../support/attention-process.ts'
import type { Context, Store } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import { rejection, until } from '../support/until.ts'

describeOnEngines('two processes', (engine) => {
  function start(config: AttentionProcessConfig) {
    const child = spawn(process.execPath, [attentionProcess, JSON.stringify(config)], { stdio: ['pipe', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    const lines: string[] = []
    child.stdout.on('data', (chunk) => lines.push(...String(chunk).trim().split('\n')))
    return {
      child,
      pid: child.pid ?? 0,
      said: (line: string) =>
        until(
          () => lines.includes(line),
          () => `${line}, but it said ${lines.join(', ')}`,
          10_000,
        ),
      go: () => child.stdin.write('go\n'),
      async answer(): Promise<unknown> {
        if (child.exitCode === null) await once(child, 'exit')
        return JSON.parse(lines.at(-1) ?? '')
      },
      async kill(): Promise<void> {
        child.kill('SIGKILL')
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      },
    }
  }

  /** Not inside a transaction: it renews its lease, and whoever is frozen with the write lock stops everybody. */
  async function freeze(child: ChildProcess, store: Store): Promise<void> {
    await until(async () => {
      child.kill('SIGSTOP')
      await until(() => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8')), 'it has stopped')
      // On a server it stops nobody but itself, and is rolled back there when its lease is over.
      if (store.config.engine !== 'sqlite') return true
      try {
        await store.exec('pragma busy_timeout = 50; begin immediate; rollback')
        return true
      } catch {
        child.kill('SIGCONT')
        return false
      } finally {
        await store.exec('pragma busy_timeout = 5000')
      }
    }, 'it is frozen outside a transaction')
  }

  /** Lets both go at the same moment. */
  async function race(...configs: AttentionProcessConfig[]): Promise<unknown[]> {
    const actors = configs.map(start)
    await Promise.all(actors.map((actor) => actor.said('ready')))
    for (const actor of actors) actor.go()
    return await Promise.all(actors.map((actor) => actor.answer()))
  }

  describe('two processes act at once', () => {
    test('settle of one item: one of them does it, and the effect happens once, with the winner’s result', async () => {
      const store = await engine.store()
      const app = store.app()
      const seen: unknown[] = []
      app.consume(orders, {
        group: 'ship',
        calls: {
          charge: call(
            (): { by: string } => {
              throw new CallUnknown('no answer')
            },
            { whenUnknown: 'ask-person' },
          ),
        },
        apply: handler(function* ({ id }: Order, { tx, calls }: Context<{ charge: { by: string } }>) {
          seen.push(calls.charge)
          yield store.write(tx, 'insert into effect values (?, 0)', id)
        }),
      })
      await app.publish(orders, { id: 'a1', key: 'a' })
      await app.start()
      await app.idle()
      const [item] = await app.attention.list()
      const settle = (by: string) =>
        ({ at: store.config, work: 'settle', id: item!.id, by, settlement: { as: 'happened', result: { by } } }) as const
      const won = await race(settle('mia'), settle('max'))
      expect(won.toSorted()).toEqual([false, true])
      await app.idle()
      expect(await store.effects()).toEqual(['a1'])
      const winner = won[0] === true ? 'mia' : 'max'
      expect(seen).toEqual([{ by: winner }])
      expect(await app.attention.show(item!.id)).toMatchObject({ state: 'settled', by: winner, audit: [{ by: winner }] })
    })

    test('a bulk redrive while another redrives one by one: each item is acted on once', async () => {
      const store = await engine.store()
      const app = store.app()
      let broken = true
      app.consume(orders, {
        group: 'ship',
        maxAttempts: 1,
        apply: handler(function* ({ id }: Order, { tx }: Context) {
          if (broken) throw new TerminalError('closed')
          yield store.write(tx, 'insert into effect values (?, 0)', id)
        }),
      })
      const ids = Array.from({ length: 150 }, (_, number) => `${number}`)
      await app.publishMany(
        orders,
        ids.map((id) => ({ data: { id, key: id } })),
      )
      await app.start()
      await app.idle()
      const items = await app.attention.list()
      expect(items).toHaveLength(150)
      broken = false
      const common = { at: store.config, ids: items.map(({ id }) => id).toReversed() }
      const [all, each] = (await race(
        { ...common, work: 'redrive-all', by: 'mia' },
        { ...common, work: 'redrive-each', by: 'max' },
      )) as [{ done: number; already: number; refused: number }, { done: number }]
      expect(all.done + each.done).toBe(150)
      // What the other had done before the bulk run listed what is open, it has not even met.
      expect(all.already).toBeLessThanOrEqual(each.done)
      expect(all.refused).toBe(0)
      await app.idle()
      expect((await store.effects()).toSorted()).toEqual(ids.toSorted())
      expect(
        await store.rows(
          `select attention, count(*) as times from ${store.table('audit')} group by attention having count(*) > 1`,
        ),
      ).toEqual([])
      expect(await app.attention.list()).toEqual([])
    })
  })

  describe('the process that made the request', () => {
    test('frozen, and taken over: its call is not settled as not happened while it lives, and is once it is gone', async () => {
      const store = await engine.store()
      const owner = start({ at: store.config, work: 'hang' })
      await owner.said('started')
      const app = store.app({ leaseMs: 300 })
      let made = 0
      app.consume(orders, {
        group: 'ship',
        calls: { charge: call(() => ++made, { whenUnknown: 'ask-person' }) },
        apply: ({ id }: Order, { tx }) => store.write(tx, 'insert into effect values (?, 0)', id),
      })
      await app.publish(orders, { id: 'a1', key: 'a' })
      await owner.said('calling')
      await freeze(owner.child, store)
      await app.start()
      await until(async () => (await app.attention.list()).length === 1, 'the item', 10_000)
      const [item] = await app.attention.list()
      const shown = await app.attention.show(item!.id)
      expect(shown).toMatchObject({
        kind: 'unknown-outcome',
        calls: [{ state: 'intent', owner: 'alive', process: { pid: owner.pid } }],
      })
      for (const as of ['did-not-happen', 'voided'] as const) {
        const error = await rejection(app.attention.settle(item!.id, { as }, { by: 'mia', ownerIsGone: true }))
        expect(error).toMatchObject({ code: 'NOT_POSSIBLE', details: { why: 'owner-alive' } })
        expect(error.message).toContain(`Process ${owner.pid} on `)
      }
      expect(shown.actions.settle.map(({ as, action }) => `${as} ${action.possible}`)).toEqual([
        'happened true',
        'did-not-happen false',
        'voided false',
      ])
      await owner.kill()
      expect(await app.attention.settle(item!.id, { as: 'did-not-happen' }, { by: 'mia' })).toBe(true)
      await app.idle()
      expect(made).toBe(1)
      expect(await store.effects()).toEqual(['a1'])
    })
  })
})
