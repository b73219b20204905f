import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Point } from '../../src/points.ts'
import type { CallAudit } from '../support/call-audit.ts'
import { violations } from '../support/call-audit.ts'
import { CallScene, runUnderKills } from '../support/call-scene.ts'
import type { CallWorkerConfig } from '../support/call-worker.ts'
import type { Rule } from '../support/call-workload.ts'
import { someOrders } from '../support/call-workload.ts'
import type { Behaviour } from '../support/payment-ledger.ts'
import type { Change } from '../support/source-copy.ts'
import { copySource } from '../support/source-copy.ts'
import { removeFolder, temporaryFolder } from '../support/torture-process.ts'

/**
 * As in mutants.test.ts: copies of the source with one safeguard of calls taken out each, and the run that must notice.
 */
interface Mutant extends Change {
  readonly without: string
  readonly run: Run
  readonly breaks: keyof CallAudit
}

interface Run {
  readonly rule: Rule
  /** What each order's first requests meet with. */
  readonly behaviours?: readonly Behaviour[]
  readonly points?: readonly Point[]
  readonly worker?: Partial<CallWorkerConfig>
}

const killed: readonly Point[] = ['call:answered', 'call:answered', 'call:intended', 'call:answered', 'consume:applied']

const mutants: readonly Mutant[] = [
  {
    without: 'the equal token of a repeat',
    file: 'consume/call-strategy.ts',
    from: 'return tokenOf(topic, group, identity, { name, round })',
    to: 'return tokenOf(topic, group, identity + this.#context.runtime.uuid(), { name, round })',
    run: { rule: 'repeat', behaviours: ['lose-answer'] },
    breaks: 'chargedTwice',
  },
  {
    without: 'the doubt about a repeat that is refused because the provider is down',
    file: 'consume/call-requests.ts',
    from: 'request.repeats ? earlier : outcome',
    to: 'outcome',
    run: { rule: 'repeat', behaviours: ['lose-answer', 'unavailable'] },
    breaks: 'chargedTwice',
  },
  {
    without: 'the intent that is committed before the request',
    file: 'consume/call-strategy.ts',
    from: 'await journal.intend(session, state.lease, plan.requests)',
    to: '',
    run: { rule: 'ask-person', points: killed },
    breaks: 'askedAgain',
  },
  {
    without: 'the person who is asked about an intent that was left behind',
    file: 'calls/next-call-step.ts',
    from: "|| call.rule === 'ask-person'",
    to: '',
    run: { rule: 'ask-person', points: killed },
    breaks: 'askedAgain',
  },
  {
    without: 'the answer that is remembered',
    file: 'calls/next-call-step.ts',
    from: "return { step: 'settled', outcome: happened(record.result) }",
    to: "return { step: 'request', round: round + 1 }",
    run: { rule: 'repeat', worker: { applyFails: 0.5 } },
    breaks: 'chargedTwice',
  },
  {
    without: 'the new token after one that was made void',
    file: 'consume/call-strategy.ts',
    from: 'const round = repeats ? probe.round : probe.round + 1',
    to: 'const round = probe.round',
    run: { rule: 'probe-and-void', behaviours: ['never'], worker: { maxAttempts: 4 } },
    breaks: 'lost',
  },
  {
    without: 'the look after what an owner before had under way',
    file: 'consume/call-strategy.ts',
    from: 'session.parked.reclaim(subscription, state.partition, runtime.wallMs()),',
    to: 'undefined,',
    run: { rule: 'repeat', points: killed },
    breaks: 'lost',
  },
]

/** A copy of the source, changed or not, and of the worker, which imports it. */
function copied(...changes: readonly Change[]): { folder: string; program: string } {
  const folder = temporaryFolder()
  copySource(folder, changes)
  return { folder, program: join(folder, 'test/support/call-worker.ts') }
}

async function found(program: string, { rule, behaviours = [], points = [], worker = {} }: Run): Promise<Partial<CallAudit>> {
  const orders = someOrders(rule === 'ask-person' ? 40 : 12, 1)
  await using scene = await CallScene.start({
    orders,
    provider: {
      plans: Object.fromEntries(orders.map(({ id }) => [id, behaviours])),
      lateMs: 200,
      workMs: 20,
    },
    worker: { rule, timeoutMs: 150, concurrency: 4, ...worker },
    program,
  })
  // A mutant may leave messages where nobody finds them: then they are lost.
  const run = runUnderKills(scene, { seed: 1, workers: 1, points, passes: 3, boundMs: 10_000 })
  await run.catch((error: Error) => expect(error.message).toMatch(/^waited/))
  const except = rule === 'repeat' ? (['askedAgain'] as const) : []
  return violations(await scene.history(), except)
}

test('the unchanged copy passes every run that is to notice a mutant', async () => {
  const { folder, program } = copied()
  for (const run of new Set(mutants.map((mutant) => mutant.run))) expect(await found(program, run)).toEqual({})
  removeFolder(folder)
})

test.for(mutants.map((mutant) => [mutant.without, mutant] as const))('without %s: noticed', async ([, mutant]) => {
  const { file, from, to, run, breaks } = mutant
  const { folder, program } = copied({ file, from, to })
  expect(await found(program, run)).toMatchObject({ [breaks]: expect.any(Array) })
  removeFolder(folder)
})
