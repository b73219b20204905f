import type { Change } from './source-copy.ts'

/** Faults of the source that the simulator has found and that are still in it: without them no copy would pass. */
export const repairs: readonly Change[] = [
  {
    // A batch that parked a message and whose COMMIT answered with an error although it took effect: what comes next of the
    // same key overtakes it, for nobody has looked which keys are held.
    file: 'consume/triage.ts',
    from: 'if (state.turnsBeside || state.held.size > 0)',
    to: 'if (state.turnsBeside || state.held.size > 0 || tally.suppressed > 0)',
  },
]

interface Survivor {
  readonly file: string
  /** As the generator prints it. */
  readonly text: string
  readonly why: string
}

const survivors: readonly Survivor[] = []

/** Why a generated mutant is not noticed: it changes nothing that matters, or the simulator cannot see it. */
export function whySurvives(file: string, text: string): string | undefined {
  return survivors.find((one) => one.file === file && text.startsWith(one.text))?.why
}
