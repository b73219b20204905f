import { expect, test } from 'vitest'
import { simulatorMutants } from '../support/simulator-mutants.ts'
import { verdictOn } from '../support/simulator-verdict.ts'
import { copySource } from '../support/source-copy.ts'
import { removeFolder, temporaryFolder } from '../support/torture-process.ts'

/**
 * As in mutants.test.ts: copies of the source with one safeguard taken out each. Here the simulator must notice, without a
 * process killed or a disk involved.
 */
const search = {
  passes: [
    // What needs no fault shows at once.
    { deviations: 0, maxSchedules: 1, compare: false },
    { deviations: 1, maxSchedules: 400 },
    { deviations: 0, maxSchedules: 400, seed: 2 },
  ],
  budgetMs: 40_000,
}

test('the unchanged copy passes what is to notice a mutant', async () => {
  const folder = temporaryFolder()
  copySource(folder)
  const verdict = await verdictOn(folder, { ...search, passes: [{ deviations: 1, maxSchedules: 160 }] })
  expect(verdict).toMatchObject({ schedules: expect.any(Number) })
  expect(verdict).not.toHaveProperty('found')
  removeFolder(folder)
})

test.for(simulatorMutants.map((mutant) => [mutant.without, mutant] as const))(
  'without %s: noticed',
  async ([, { changes, by, amongPairs, shownBy }]) => {
    const folder = temporaryFolder()
    copySource(folder, changes)
    const pairs = amongPairs === undefined ? search.passes : [{ deviations: 2, maxSchedules: amongPairs }]
    const passes = shownBy === undefined ? pairs : [{ replay: shownBy }]
    const verdict = await verdictOn(folder, { ...search, passes, subjects: [by] })
    // Not because it cannot run at all.
    expect(verdict).toMatchObject({ found: { rule: expect.not.stringMatching(/error/) } })
    removeFolder(folder)
  },
)
