import { prove } from 'onefold/testing'
import { test } from 'vitest'
import makeApp, { invariants, setup, workload } from './receipts.ts'

test('receipts: no placement of faults breaks a rule', async () => {
  await prove(makeApp, { workload, setup, invariants, budgetMs: 2_000 })
}, 30_000)
