import { describe, expect, test } from 'vitest'
import type { Chain } from '../support/torture-kills.ts'
import { brokenPromises, histogram, killAtPoints, killPlans } from '../support/torture-kills.ts'

const seed = 7

describe('workers killed with SIGKILL at every named step of publish, consume, receive and relay', async () => {
  let chains: Chain[] = []

  test('600 kills: nothing lost, nothing twice, order per key kept, outbox and effects agree', { timeout: 180_000 }, async () => {
    const plans = killPlans({ often: 20, seldom: 14 })
    chains = await killAtPoints(plans, { seed })
    console.log(`seed ${seed}\n${histogram(chains)}`)
    expect(brokenPromises(chains)).toEqual([])
    expect(Math.min(...plans.map((plan) => killsOf(chains.filter((chain) => chain.plan === plan))))).toBeGreaterThanOrEqual(10)
    expect(killsOf(chains)).toBeGreaterThanOrEqual(500)
  })

  test('the same kills do double messages of an at-least-once consumer and lose those of an at-most-once one', () => {
    const twice = chains.filter(({ plan }) => plan.semantics === 'at-least-once').flatMap(({ audit }) => audit.appliedTwice)
    const lost = chains.filter(({ plan }) => plan.semantics === 'at-most-once').flatMap(({ audit }) => audit.lost)
    expect(twice.length).toBeGreaterThan(0)
    expect(lost.length).toBeGreaterThan(0)
  })
})

function killsOf(some: readonly Chain[]): number {
  return some.reduce((sum, chain) => sum + chain.killedAt.length, 0)
}
