import { nodeRuntime } from '../../runtime/node-runtime.ts'
import type { AttentionOperation } from '../history.ts'
import { seededRandom } from '../seeded-random.ts'
import { Conditions } from './conditions.ts'
import type { Decision, Deviations } from './decisions.ts'
import { Decisions } from './decisions.ts'
import type { FinalState } from './final-state.ts'
import { differenceOf, incomparable } from './final-state.ts'
import type { ScheduleResult } from './schedule.ts'
import { runSchedule } from './schedule.ts'
import type { Subject } from './subject.ts'
import type { WithoutFaults } from './without-faults.ts'
import { withoutFaults } from './without-faults.ts'
import type { WorldDatabase } from './world-database.ts'

export interface ExploreOptions {
  readonly subject: Subject
  readonly database: WorldDatabase
  /** Every placement of up to so many deviations is tried first. */
  readonly deviations: number
  readonly budgetMs: number
  readonly maxSchedules: number
  readonly seed: number
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((schedules: number) => void) | undefined
}

/** How often each thing went wrong at each place. */
export type Coverage = ReadonlyMap<string, number>

export interface Exploration {
  readonly schedules: number
  /** Every placement of up to so many deviations was tried. */
  readonly exhausted: number
  /** Placements of one deviation more that were tried before the budget was used. */
  readonly partial: number
  readonly random: number
  readonly repeated: number
  readonly coverage: Coverage
  /** Columns whose values depend on time or chance: not compared. */
  readonly ignored: readonly string[]
  readonly withoutFaults: WithoutFaults
  readonly failure:
    | { readonly result: ScheduleResult; readonly rule: string; readonly found: number; readonly shrunkFrom: number }
    | undefined
  readonly elapsedMs: number
}

const clock = nodeRuntime()

/** A random schedule has at most so many faults. */
const maxRandomFaults = 12

/** One schedule in so many is run a second time: the same decisions must give the same history. */
const repeatEvery = 50
/** So often whoever else is in this process has a turn: a signal that was sent, a test runner that wants to be heard. */
const turnEveryMs = 50

/** Tries schedules until the budget is used or one of them breaks a rule, which is then made as small as it can be. */
export async function explore(options: ExploreOptions): Promise<Exploration> {
  const { subject, database, seed } = options
  const startedMs = clock.monotonicMs()
  const endMs = startedMs + options.budgetMs
  const coverage = new Map<string, number>()
  const explorer = await Explorer.begin(subject, database)
  const { endless } = explorer
  let schedules = endless === undefined ? 0 : 1
  let repeated = 0
  let random = 0
  let exhausted = 0
  let untilExhausted = 1
  let turnedMs = startedMs
  const over = (): boolean => clock.monotonicMs() > endMs || schedules >= options.maxSchedules || options.signal?.aborted === true
  const done = (failure?: Exploration['failure']): Exploration => ({
    schedules,
    exhausted,
    partial: Math.max(0, schedules - untilExhausted - random),
    random,
    repeated,
    coverage,
    ignored: explorer.ignored,
    withoutFaults: explorer.withoutFaults,
    failure,
    elapsedMs: clock.monotonicMs() - startedMs,
  })
  const attempt = async (decisions: Decisions): Promise<{ result: ScheduleResult; failure?: Exploration['failure'] }> => {
    const result = await explorer.run(decisions)
    schedules++
    if (clock.monotonicMs() - turnedMs >= turnEveryMs) {
      options.onProgress?.(schedules)
      await new Promise<void>((resolve) => clock.defer(resolve))
      turnedMs = clock.monotonicMs()
    }
    for (const { at, options: choices, chosen } of result.trail)
      if (chosen > 0) {
        const name = `${at.replace(/^[^:]*: /, '').replace(/ for .*$/, '')} · ${choices[chosen]}`
        coverage.set(name, (coverage.get(name) ?? 0) + 1)
      }
    if (result.violations.length === 0 && schedules % repeatEvery === 1) {
      repeated++
      const again = await explorer.run(Decisions.following(result.deviations))
      const difference = firstDifference(result, again)
      if (difference !== undefined)
        return {
          result,
          failure: {
            result: { ...again, violations: [{ rule: 'determinism', what: difference }] },
            rule: 'determinism',
            found: schedules,
            shrunkFrom: result.deviations.size,
          },
        }
    }
    const [violation] = result.violations
    if (violation === undefined) return { result }
    const small = await explorer.shrink(result, violation.rule, endMs + 2_000)
    return { result, failure: { result: small, rule: violation.rule, found: schedules, shrunkFrom: result.deviations.size } }
  }

  // Level by level: all that deviate once, then all that deviate twice, and so on.
  let level: { readonly deviations: Deviations; readonly trail: readonly Decision[] }[] = []
  if (endless !== undefined) return done({ result: endless, rule: 'liveness', found: 1, shrunkFrom: 0 })
  const first = await attempt(Decisions.following(new Map()))
  if (first.failure !== undefined) return done(first.failure)
  const nothing = nothingApplied(first.result, explorer.withoutFaults)
  if (nothing !== undefined) {
    const told = await explorer.run(Decisions.following(new Map()), true)
    const violations = [{ rule: 'something is applied', what: nothing }]
    return done({ result: { ...told, violations }, rule: 'something is applied', found: 1, shrunkFrom: 0 })
  }
  level.push({ deviations: new Map(), trail: first.result.trail })
  for (let size = 1; size <= options.deviations; size++) {
    const next: typeof level = []
    for (const { deviations, trail } of level) {
      const after = Math.max(-1, ...deviations.keys())
      for (let place = after + 1; place < trail.length; place++) {
        for (let option = 1; option < (trail[place]?.options.length ?? 0); option++) {
          if (over()) return done()
          const tried = new Map([...deviations, [place, option]])
          const { result, failure } = await attempt(Decisions.following(tried))
          if (failure !== undefined) return done(failure)
          if (size < options.deviations) next.push({ deviations: tried, trail: result.trail })
        }
      }
    }
    exhausted = size
    untilExhausted = schedules
    level = next
  }
  for (let number = 0; !over(); number++) {
    random++
    const chance = seededRandom(seed, number)
    // Swarm: each schedule has its own idea of how much goes wrong, and after that all is well and everything must come to its end.
    const rate = 0.02 + chance() * 0.4
    let left = 1 + Math.floor(chance() * maxRandomFaults)
    const { failure } = await attempt(
      new Decisions((_, choices) => {
        if (left === 0 || chance() >= rate) return 0
        left--
        return 1 + Math.floor(chance() * (choices - 1))
      }),
    )
    if (failure !== undefined) return done(failure)
  }
  return done()
}

/** A group whose every message ends with a person although nothing goes wrong: no other schedule would show anything of it. */
function nothingApplied({ history }: ScheduleResult, { first, hint }: WithoutFaults): string | undefined {
  const applied = new Set(history.flatMap((one) => (one.op === 'effect' ? [`${one.topic}/${one.group}`] : [])))
  const idle = history.find((one) => one.op === 'attention' && !applied.has(`${one.topic}/${one.group}`)) as
    | AttentionOperation
    | undefined
  if (idle === undefined) return undefined
  const why = [first, hint].filter((text) => text !== undefined).join(' ')
  return `Without any fault, group ${idle.group} of topic ${idle.topic} applies nothing; what comes to it ends with a person. ${why}`
}

function firstDifference(one: ScheduleResult, other: ScheduleResult): string | undefined {
  const [a, b] = [one, other].map(({ history }) => history.map((operation) => JSON.stringify(operation)))
  const at = a?.findIndex((line, index) => line !== b?.[index]) ?? -1
  if (at < 0 && a?.length === b?.length) return undefined
  return `The same schedule went another way when it was run again: ${a?.[at] ?? 'nothing'} the first time, ${b?.[at] ?? 'nothing'} the second. Does the handler depend on what it keeps in memory, or on chance?`
}

/** A schedule without faults that takes so many steps does not come to an end. */
const stepsWithoutFaults = 30_000
/** Nor does another that takes so many, and so many times those of the one without faults. */
const stepsUnlessEndless = 15_000
const stepsBesideFaults = 20

/** Knows how a run without faults ends, and runs others against that. */
export class Explorer {
  readonly ignored: readonly string[]
  readonly withoutFaults: WithoutFaults
  /** The run without faults, when it does not come to an end: no other can be judged. */
  readonly endless: ScheduleResult | undefined
  readonly #maxSteps: number
  readonly #subject: Subject
  readonly #database: WorldDatabase
  readonly #expected: FinalState | undefined
  /** How runs without faults end under conditions, by these. */
  readonly #expectedUnder = new Map<string, FinalState>()

  private constructor(
    subject: Subject,
    database: WorldDatabase,
    {
      expected,
      ignored,
      withoutFaults,
      endless,
      maxSteps,
    }: Pick<Explorer, 'ignored' | 'withoutFaults' | 'endless'> & {
      readonly expected?: FinalState
      readonly maxSteps: number
    },
  ) {
    this.endless = endless
    this.#maxSteps = maxSteps
    this.#subject = subject
    this.#database = database
    this.#expected = expected
    this.ignored = ignored
    this.withoutFaults = withoutFaults
  }

  /** Runs without faults at two different times of day: columns that then differ cannot be compared. */
  static async begin(subject: Subject, database: WorldDatabase): Promise<Explorer> {
    const plain = async (clockOffMs: number, ignored: ReadonlySet<string>): Promise<ScheduleResult> => {
      const first = { maxSteps: stepsWithoutFaults, story: clockOffMs === 0 }
      const decisions = Decisions.following(new Map())
      const expected = { ignored, differs: () => undefined }
      return runSchedule({ subject, database, decisions, clockOffMs, expected, ...first })
    }
    const first = await plain(0, new Set())
    const maxSteps = stepsUnlessEndless + first.steps * stepsBesideFaults
    const endless = first.violations.some(({ rule }) => rule === 'liveness') ? first : undefined
    if (!subject.compare || endless !== undefined)
      return new Explorer(subject, database, { ignored: [], withoutFaults: await withoutFaults(database), endless, maxSteps })
    const { state: later } = await plain(86_461_007, new Set())
    const ignored = incomparable(first.state, later)
    const { state: expected } = await plain(0, new Set(ignored))
    return new Explorer(subject, database, { expected, ignored, withoutFaults: await withoutFaults(database), endless, maxSteps })
  }

  async run(decisions: Decisions, story = false): Promise<ScheduleResult> {
    const expected = this.#expected
    const result = await runSchedule({
      subject: this.#subject,
      database: this.#database,
      decisions,
      story,
      maxSteps: this.#maxSteps,
      ...(expected === undefined
        ? {}
        : { expected: { ignored: new Set(this.ignored), differs: (state) => differenceOf(state, expected) } }),
    })
    const { conditions } = result
    if (expected === undefined || conditions.list().length === 0 || conditions.incomparable !== undefined) return result
    if (result.violations.length > 0) return result
    const what = differenceOf(result.state, await this.#endUnder(conditions.list()))
    return what === undefined ? result : { ...result, violations: [{ rule: 'same end', what }] }
  }

  async #endUnder(conditions: readonly string[]): Promise<FinalState> {
    const name = JSON.stringify(conditions)
    let end = this.#expectedUnder.get(name)
    if (end === undefined) {
      const { state } = await runSchedule({
        subject: this.#subject,
        database: this.#database,
        decisions: Decisions.following(new Map()),
        conditions: new Conditions(conditions),
        expected: { ignored: new Set(this.ignored), differs: () => undefined },
      })
      end = state
      this.#expectedUnder.set(name, end)
    }
    return end
  }

  /** The smallest schedule found that breaks the same rule, with its story. (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002.) */
  async shrink(found: ScheduleResult, rule: string, untilMs: number): Promise<ScheduleResult> {
    const breaks = async (deviations: Deviations): Promise<boolean> =>
      (await this.run(Decisions.following(deviations))).violations.some((violation) => violation.rule === rule)
    let left = [...found.deviations]
    for (let size = Math.max(1, Math.floor(left.length / 2)); size >= 1 && clock.monotonicMs() < untilMs; ) {
      let smaller: typeof left | undefined
      for (let from = 0; from < left.length && clock.monotonicMs() < untilMs; from += size) {
        const without = left.toSpliced(from, size)
        if (await breaks(new Map(without))) {
          smaller = without
          break
        }
      }
      if (smaller === undefined) {
        if (size === 1) break
        size = Math.floor(size / 2)
      } else {
        left = smaller
        size = Math.max(1, Math.min(size, Math.floor(left.length / 2)))
      }
    }
    return this.run(Decisions.following(new Map(left)), true)
  }
}
