import { describe, expect, test } from 'vitest'
import { callPoints, consumePoints } from '../../src/points.ts'
import type { CallAudit, CallHistory } from '../support/call-audit.ts'
import { unexplained, violations } from '../support/call-audit.ts'
import { CallScene, runUnderKills } from '../support/call-scene.ts'
import type { CallWorkerConfig } from '../support/call-worker.ts'
import type { Rule } from '../support/call-workload.ts'
import { someOrders } from '../support/call-workload.ts'
import type { ProviderConfig } from '../support/payment-ledger.ts'
import type { Halt } from '../support/torture-halt.ts'
import { until } from '../support/torture-process.ts'
import { rejection } from '../support/until.ts'

/** Two requests of five go wrong in one way or another, up to twice for a message. */
const trouble: Partial<ProviderConfig> = {
  odds: {
    'lose-answer': 0.08,
    never: 0.04,
    late: 0.06,
    slow: 0.04,
    'answer-twice': 0.04,
    'charge-then-500': 0.04,
    decline: 0.06,
    unavailable: 0.06,
  },
  lateMs: 300,
  workMs: 30,
}

interface Run {
  readonly name: string
  readonly rule: Rule
  readonly keys: number
  readonly perKey: number
  readonly kills: number
  readonly provider: Partial<ProviderConfig>
  /** Delivers again, twice, and out of order. */
  readonly outsideBroker?: boolean
  /** Now and then nobody listens. */
  readonly outages?: boolean
  /** What this rule does not promise with this provider. */
  readonly except: readonly (keyof CallAudit)[]
}

/** A message is a schedule: its own faults at the provider, its own neighbours, and kills where they happen to hit it. */
const runs: readonly Run[] = [
  {
    name: "'repeat', a provider that honours tokens and lets a second request wait for the first",
    rule: 'repeat',
    keys: 300,
    perKey: 2,
    kills: 25,
    provider: { meanwhile: 'wait' },
    except: ['askedAgain'],
  },
  {
    name: "'repeat', a provider that honours tokens and refuses a second request while the first is carried out",
    rule: 'repeat',
    keys: 300,
    perKey: 2,
    kills: 25,
    provider: { meanwhile: 'conflict' },
    outages: true,
    except: ['askedAgain'],
  },
  {
    name: 'a probe that voids the token, a provider that honours tokens',
    rule: 'probe-and-void',
    keys: 200,
    perKey: 2,
    kills: 20,
    provider: { lookupsRefused: 0.2 },
    except: [],
  },
  {
    name: 'a probe that voids the token, a provider that knows tokens for nothing else',
    rule: 'probe-and-void',
    keys: 200,
    perKey: 2,
    kills: 20,
    provider: { tokens: 'ignored', lookupsRefused: 0.2 },
    except: [],
  },
  {
    name: 'a probe that only looks, a provider that honours tokens',
    rule: 'probe-only',
    keys: 200,
    perKey: 2,
    kills: 20,
    provider: { lookupsRefused: 0.2 },
    except: ['askedAgain'],
  },
  {
    name: "'repeat', behind a broker that repeats and reorders",
    rule: 'repeat',
    keys: 150,
    perKey: 2,
    kills: 15,
    provider: { meanwhile: 'conflict' },
    outsideBroker: true,
    except: ['askedAgain'],
  },
]

describe('under a provider with faults, workers killed at random points and times', () => {
  test.for(runs.map((run) => [run.name, run] as const))(
    '%s: charged once each, applied once each, in order',
    async ([name, run]) => {
      const worker = { rule: run.rule, concurrency: 40, applyFails: 0.1 }
      await using scene = await CallScene.start({
        orders: someOrders(run.keys, run.perKey),
        provider: { ...trouble, ...run.provider },
        worker,
      })
      const outages = run.outages === true ? closeDoor(scene) : undefined
      const { killed } = await runUnderKills(scene, { seed: 1, workers: 2, kills: run.kills, passes: 15 })
      await outages
      const history = await scene.history()
      expect(violations(history, run.except)).toEqual({})
      expect(history.attention).toEqual([])
      tell(name, history, killed)
      expect(killed.length).toBeGreaterThanOrEqual(run.kills)
    },
  )

  test.for([
    { broker: 'the database is the broker', outsideBroker: false, keys: 400 },
    { broker: 'a broker that repeats and reorders', outsideBroker: true, keys: 150 },
  ])(
    "'ask-person', $broker: none is asked for again, and attention has exactly those that are not applied",
    async ({ outsideBroker, keys }) => {
      const concurrency = 8
      await using scene = await CallScene.start({
        orders: [...someOrders(keys, 1), ...someOrders(keys / 10, 3, 'chain')],
        provider: trouble,
        worker: { rule: 'ask-person', concurrency, applyFails: 0.1 },
        outsideBroker,
      })
      const { killed } = await runUnderKills(scene, { seed: 2, workers: 2, kills: 15, passes: 15 })
      const history = await scene.history()
      expect(violations(history)).toEqual({})
      const cautious = unexplained(history)
      tell("'ask-person'", history, killed)
      console.log(`${history.attention.length} with a person, ${cautious.length} of them only because a process ended`)
      expect(cautious.length).toBeLessThanOrEqual(killed.length * concurrency)

      // What held its key up has been settled by what the provider's ledger says: now all goes on, and is still charged once.
      await scene.provider.change({ troubles: 0 })
      let settled = 0
      for (; history.orders.length > scene.applied().length; settled++) {
        expect(settled).toBeLessThan(10)
        await scene.settleAll()
        const worker = scene.worker(undefined, { applyFails: 0 })
        await scene.allThrough([worker])
        expect((await worker.stop()).code, worker.story()).toBe(0)
      }
      const { attention, ...rest } = await scene.history()
      expect(attention).toEqual([])
      expect(violations({ attention, ...rest }, ['askedAgain'])).toEqual({})
    },
  )

  test.for(['repeat', 'ask-person', 'probe-and-void', 'probe-only'] as const)('at every named step, %s', async (rule) => {
    const points = [...consumePoints, ...callPoints, ...callPoints, ...callPoints]
    await using scene = await CallScene.start({
      orders: someOrders(rule === 'ask-person' ? 400 : 120, rule === 'ask-person' ? 1 : 3),
      provider: { ...trouble, meanwhile: 'conflict', lateMs: 200 },
      worker: { rule, timeoutMs: 150, secondCallMs: 80 },
    })
    const { killed } = await runUnderKills(scene, { seed: 3, workers: 2, points, passes: 6 })
    const history = await scene.history()
    expect(violations(history, rule === 'repeat' || rule === 'probe-only' ? ['askedAgain'] : [])).toEqual({})
    tell(`at every named step, ${rule}`, history, killed)
    expect(killed.length).toBeGreaterThanOrEqual(points.length / 2)
  })
})

const leaseMs = 600

async function frozen(rule: Rule, worker: Partial<CallWorkerConfig>, halt?: Halt) {
  const orders = someOrders(6, 2)
  const scene = await CallScene.start({ orders, worker: { rule, leaseMs, timeoutMs: 5_000, concurrency: 1 } })
  const zombie = scene.worker(halt, worker)
  await zombie.until('halted')
  await until(
    () => zombie.state === 'T',
    () => 'the worker is stopped',
  )
  const heir = scene.worker()
  await heir.until('event taken-over')
  await scene.allThrough([heir])
  return { scene, zombie, heir }
}

describe('a worker frozen around a request, past its lease', () => {
  test.for(['repeat', 'ask-person', 'probe-and-void', 'probe-only'] as const)(
    '%s, between its intent and its request: thawed, it makes no request and commits nothing',
    async (rule) => {
      const { scene, zombie, heir } = await frozen(rule, {}, { at: 'call:intended', pass: 3, signal: 'SIGSTOP' })
      await using _ = scene
      const asked = (await scene.provider.ledger()).requests
      zombie.kill('SIGCONT')
      expect((await zombie.stop()).code, zombie.story()).toBe(0)
      expect((await heir.stop()).code).toBe(0)
      const history = await scene.history()
      expect(history.ledger.requests).toEqual(asked)
      expect(violations(history)).toEqual({})
      expect(history.attention.length).toBe(rule === 'ask-person' ? 1 : 0)
    },
  )

  test.for(['repeat', 'ask-person', 'probe-and-void', 'probe-only'] as const)(
    '%s, at the moment of its request: thawed, it sends it, and still there is one charge',
    async (rule) => {
      const { scene, zombie, heir } = await frozen(rule, { freezesBefore: 'k2-1' })
      await using _ = scene
      const asked = (await scene.provider.ledger()).requests.filter(({ reference }) => reference === 'k2-1').length
      zombie.kill('SIGCONT')
      await until(
        async () => (await scene.provider.ledger()).requests.filter(({ reference }) => reference === 'k2-1').length > asked,
        () => `the request is sent: ${zombie.story()}`,
      )
      expect((await zombie.stop()).code, zombie.story()).toBe(0)
      expect((await heir.stop()).code).toBe(0)
      const history = await scene.history()
      const except = rule === 'ask-person' ? [] : (['askedAgain', 'askedOutOfTurn', 'freshToken'] as const)
      expect(violations(history, except)).toEqual({})
      expect(history.ledger.charges.filter(({ reference }) => reference === 'k2-1').length).toBe(1)
      expect(history.attention).toEqual(rule === 'ask-person' ? ['k2-1'] : [])
    },
  )
})

/** Three times in the course of the run, for a moment: connections are cut, and new ones refused. */
async function closeDoor({ provider, orders }: CallScene): Promise<void> {
  for (const share of [0.2, 0.6, 1]) {
    await until(
      async () => (await provider.ledger()).requests.length > share * orders.length,
      () => `${share} requests per order`,
    )
    await provider.close()
    await new Promise((resolve) => setTimeout(resolve, 200))
    await provider.open()
  }
}

test("'ask-person', frozen at the moment of its request: nobody may say it did not happen while it may still be sent", async () => {
  const { scene, zombie, heir } = await frozen('ask-person', { freezesBefore: 'k2-1' })
  await using _ = scene
  const [item] = await scene.app.attention.list()
  const settle = () => scene.app.attention.settle(item?.id ?? '', { as: 'did-not-happen' }, { by: 'Ada' })
  expect(await rejection(settle())).toMatchObject({ code: 'NOT_POSSIBLE' })

  zombie.kill('SIGKILL')
  expect((await zombie.ended).signal).toBe('SIGKILL')
  expect(await settle()).toBe(true)
  await until(
    () => scene.applied().length === scene.orders.length,
    () => `all are applied: ${heir.story()}`,
  )
  expect((await heir.stop()).code).toBe(0)
  const history = await scene.history()
  expect(violations(history)).toEqual({})
  expect(history.ledger.charges).toHaveLength(scene.orders.length)
})

function tell(name: string, { orders, ledger: { requests } }: CallHistory, killed: readonly string[]): void {
  const points = Map.groupBy(killed, (where) => where.replace(/ \d+$/, ''))
  const hits = [...points].map(([where, ofPoint]) => `${where} ${ofPoint.length}`).join(', ')
  console.log(`${name}: ${orders.length} schedules, ${requests.length} requests, ${killed.length} kills (${hits})`)
}
