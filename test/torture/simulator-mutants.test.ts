import { expect, test } from 'vitest'
import { simulatorMutants } from '../support/simulator-mutants.ts'
import { verdictOn } from '../support/simulator-verdict.ts'
import type { Change } from '../support/source-copy.ts'
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
  ],
  budgetMs: 40_000,
}

/** Faults of the source that the simulator has found and that are still in it. */
const repairs: readonly Change[] = [
  {
    // A batch that parked a message and whose COMMIT answered with an error although it took effect: what comes next of the
    // same key overtakes it, for nobody has looked which keys are held.
    file: 'consume/triage.ts',
    from: 'if (state.turnsBeside || state.held.size > 0)',
    to: 'if (state.turnsBeside || state.held.size > 0 || tally.suppressed > 0)',
  },
]

test('the unchanged copy passes what is to notice a mutant', async () => {
  const folder = temporaryFolder()
  copySource(folder, repairs)
  const verdict = await verdictOn(folder, { ...search, passes: [{ deviations: 1, maxSchedules: 160 }] })
  expect(verdict).toMatchObject({ schedules: expect.any(Number) })
  expect(verdict).not.toHaveProperty('found')
  removeFolder(folder)
})

test.for(simulatorMutants.map((mutant) => [mutant.without, mutant] as const))(
  'without %s: noticed',
  async ([, { changes, by }]) => {
    const folder = temporaryFolder()
    copySource(folder, [...repairs, ...changes])
    const verdict = await verdictOn(folder, { ...search, subjects: [by] })
    // Not because it cannot run at all.
    expect(verdict).toMatchObject({ found: { rule: expect.not.stringMatching(/error/) } })
    removeFolder(folder)
  },
)
