import { describe, expect, test } from 'vitest'
import { planWebhooks, webhookOf } from '../../demo/webhooks.ts'

describe('the webhooks of the demo', () => {
  test('every process that plans the same run gets the same ids and bodies', () => {
    const bodies = () => planWebhooks(300, 7).map((each) => JSON.stringify(webhookOf(each)))
    expect(bodies()).toEqual(bodies())
    expect(planWebhooks(5, 8)[0]?.delivery).not.toBe(planWebhooks(5, 7)[0]?.delivery)
  })

  test('a longer run begins with the shorter one', () => {
    expect(planWebhooks(300, 7).slice(0, 100)).toEqual(planWebhooks(100, 7))
  })

  test('ids are unique, repositories number their events 1, 2, 3 …, and there are some hundred of them', () => {
    const plan = planWebhooks(12_000, 3)
    expect(new Set(plan.map(({ delivery }) => delivery)).size).toBe(12_000)
    const last = new Map<string, number>()
    for (const { repository, n } of plan) {
      expect(n).toBe((last.get(repository) ?? 0) + 1)
      last.set(repository, n)
    }
    expect(last.size).toBeGreaterThan(200)
  })

  test("the body is a real payload, moved to the plan's repository", () => {
    const moved = planWebhooks(200, 1)
      .map(webhookOf)
      .filter(({ payload }) => 'repository' in (payload as object))
    expect(moved.length).toBeGreaterThan(100)
    for (const { repository, payload } of moved) {
      expect((payload as { repository: { full_name: string } }).repository.full_name).toBe(repository)
    }
  })
})
