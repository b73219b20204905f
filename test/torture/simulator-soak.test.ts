import { expect, test } from 'vitest'
import { prove } from '../../src/testing/index.ts'
import { correctApplications } from '../testing/simulator/support/correct-applications.ts'

/**
 * Correct applications of every kind in random schedules: nobody may be accused. To go on for longer, and elsewhere:
 *
 *   ONEFOLD_SCHEDULES=100000 ONEFOLD_SEED=2 npx vitest run --project full test/torture/simulator-soak.test.ts
 */
const schedules = Number(process.env.ONEFOLD_SCHEDULES ?? 100)
const seed = Number(process.env.ONEFOLD_SEED ?? 1)

test.for(Object.entries(correctApplications))(
  `%s: not accused in ${schedules} random schedules`,
  { timeout: 60_000 + schedules * 200 },
  async ([, { application, options }]) => {
    const certificate = await prove(application, {
      ...options,
      deviations: 0,
      maxSchedules: schedules,
      seed,
      budgetMs: 86_400_000,
    })
    expect(certificate.schedules).toBe(schedules)
    expect(certificate.randomSchedules).toBe(schedules - 1)
  },
)
