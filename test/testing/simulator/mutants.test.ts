import { expect, test } from 'vitest'
import { options } from '../../../examples/mistakes/ledger.ts'
import { prove } from '../../../src/testing/index.ts'
import { failureOf } from './support/failure-of.ts'
import { lookAlikes } from './support/look-alikes.ts'
import { mutants } from './support/mutants.ts'

test('there are at least 30 mutants of the correct application', () => {
  expect(Object.keys(mutants).length).toBeGreaterThanOrEqual(30)
})

// Most take fewer than 100 schedules. The bound is in schedules, so that a busy machine changes nothing.
test.for(Object.entries(mutants))('caught: %s', { timeout: 60_000 }, async ([, { application, options: own }]) => {
  const failure = await failureOf(application, { ...(own ?? options), maxSchedules: 5_000, budgetMs: 50_000 })
  expect(failure.schedules).toBeLessThanOrEqual(5_000)
  expect(failure.faults.length).toBeLessThanOrEqual(2)
})

test.for(Object.entries(lookAlikes))('not accused: %s', async ([, { application, options: own, why }]) => {
  const certificate = await prove(application, { ...(own ?? options), maxSchedules: 120 })
  expect(certificate.schedules, why).toBe(120)
})
