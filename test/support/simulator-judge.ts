/**
 * Proves the standard subjects over the source beside it, and writes what came of it in one line of JSON: "hangs" where
 * a schedule does not end.
 *
 *   node simulator-judge.ts '{ "passes": [{ "deviations": 1, "maxSchedules": 200 }], "budgetMs": 20000 }'
 */
import type { ProveOptions } from '../../src/testing/index.ts'
import { ProofFailed, prove } from '../../src/testing/index.ts'
import { watchSchedules } from './endless-schedule.ts'
import { standardSubjects } from './simulator-subjects.ts'

/** How hard to look: every subject in the first pass, then every subject in the second, until something is found. */
export interface Search {
  readonly passes: readonly (Pick<ProveOptions, 'deviations' | 'maxSchedules' | 'seed' | 'compare' | 'replay'> & {
    /** Instead: without faults, in each way the world may be. */
    readonly worlds?: true
  })[]
  /** For all of it. */
  readonly budgetMs: number
  /** By name; default: all. */
  readonly subjects?: readonly string[]
}

export interface Verdict {
  readonly schedules: number
  readonly elapsedMs: number
  /** The first rule that was broken; undefined: none was. */
  readonly found?: { readonly subject: string; readonly rule: string; readonly what: string; readonly vector: string }
}

/** Partitions, ways to publish, whether somebody waits until all are idle, ways to read: the first decisions of every schedule. */
const everyWorld = [0, 1].flatMap((partitions) =>
  [0, 1, 2].flatMap((published) =>
    [0, 1].flatMap((asked) => [0, 1].map((read) => `0:${partitions},1:${published},2:${asked},3:${read}`)),
  ),
)

async function judge({ passes, budgetMs, subjects }: Search, begun: () => void): Promise<Verdict> {
  const startedMs = performance.now()
  const elapsedMs = (): number => Math.round(performance.now() - startedMs)
  const unknown = subjects?.find((name) => !standardSubjects.some((subject) => subject.name === name))
  if (unknown !== undefined) throw new Error(`there is no subject ${unknown}`)
  let schedules = 0
  for (const pass of passes) {
    for (const { name, make, options, most } of standardSubjects) {
      if (subjects !== undefined && !subjects.includes(name)) continue
      if (most !== undefined && pass.deviations === 0 && pass.maxSchedules !== 1) continue
      const maxSchedules = Math.min(pass.maxSchedules ?? Number.MAX_SAFE_INTEGER, most ?? Number.MAX_SAFE_INTEGER)
      const leftMs = budgetMs - elapsedMs()
      if (leftMs < 100) return { schedules, elapsedMs: elapsedMs() }
      const reset = (): void => {
        begun()
        options.reset?.()
      }
      try {
        const { worlds, ...given } = pass
        for (const replay of worlds === undefined ? [undefined] : everyWorld) {
          const ways = replay === undefined ? { reset } : { reset, replay }
          schedules += (await prove(make, { ...options, ...given, ...ways, maxSchedules, budgetMs: leftMs })).schedules
        }
      } catch (error) {
        const failed = error instanceof ProofFailed ? error.failure : undefined
        const { rule, what, vector } = failed ?? { rule: 'error', what: String(error), vector: '' }
        schedules += failed?.schedules ?? 1
        return { schedules, elapsedMs: elapsedMs(), found: { subject: name, rule, what, vector } }
      }
    }
  }
  return { schedules, elapsedMs: elapsedMs() }
}

if (import.meta.main) {
  const verdict = await judge(JSON.parse(process.argv[2] ?? '{}') as Search, watchSchedules())
  process.stdout.write(`${JSON.stringify(verdict)}\n`, () => process.exit(0))
}
