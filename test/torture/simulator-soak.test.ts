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

/** In a COMMIT that took effect and answered with an error. */
const overtaken =
  'a message parked by it is overtaken by a later one of its key: commitUnderLease goes on with the lanes it knew before'
const parkedTwice = 'receive parks again what it has parked'
const lateRequest = 'call-turn takes the late request of an owner that was taken over for one out of turn'

/** Accused as things are, and why: the first two rightly. */
const accused: Readonly<Record<string, string>> = {
  'handlers that fail, and hold their key': overtaken,
  'handlers that fail, and are skipped': overtaken,
  'handlers that fail at once': overtaken,
  'batches, one of which fails': overtaken,
  'receive with an inbox of its own': parkedTwice,
  'a call that is probed': lateRequest,
  'two calls, one of them not always': lateRequest,
}

test.for(Object.entries(correctApplications))(
  `%s: not accused in ${schedules} random schedules`,
  { timeout: 60_000 + schedules * 200 },
  async ([name, { application, options }], { skip }) => {
    const why = accused[name]
    if (why !== undefined) skip(why)
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
