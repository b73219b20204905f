import { optionInvalid } from '../../errors.ts'

/** One place where a schedule could have gone another way. Option 0 is that nothing goes wrong. */
export interface Decision {
  /** What was about to be done, by whom. */
  readonly at: string
  readonly options: readonly string[]
  readonly chosen: number
}

/** Where a schedule leaves the default: place among its decisions → option. Everything else is 0. */
export type Deviations = ReadonlyMap<number, number>

/** Takes the decisions of one schedule, and keeps what they were. */
export class Decisions {
  readonly trail: Decision[] = []
  readonly #pick: (place: number, options: number) => number
  #closed = false

  constructor(pick: (place: number, options: number) => number) {
    this.#pick = pick
  }

  static following(deviations: Deviations): Decisions {
    return new Decisions((place) => deviations.get(place) ?? 0)
  }

  /** From here on nothing goes wrong any more. */
  close(): void {
    this.#closed = true
  }

  choose(at: string, options: readonly string[]): string {
    if (this.#closed) return options[0] as string
    const picked = this.#pick(this.trail.length, options.length)
    // A vector may be older than the code: what is no option there any more is none.
    const chosen = picked < options.length ? picked : 0
    this.trail.push({ at, options, chosen })
    return options[chosen] as string
  }

  deviations(): Deviations {
    return new Map(this.trail.flatMap(({ chosen }, place) => (chosen === 0 ? [] : [[place, chosen] as const])))
  }
}

/** `12:2,31:1`; empty for the schedule in which nothing goes wrong. */
export function vectorOf(deviations: Deviations): string {
  return [...deviations]
    .sort(([a], [b]) => a - b)
    .map(([place, option]) => `${place}:${option}`)
    .join(',')
}

/** @throws OnefoldError `OPTION_INVALID`. */
export function deviationsOf(vector: string): Deviations {
  const pairs = vector.split(',').filter((pair) => pair.trim() !== '')
  return new Map(
    pairs.map((pair) => {
      const match = /^\s*(\d{1,6}):(\d{1,3})\s*$/.exec(pair)
      if (match === null) throw optionInvalid('replay', vector, "a vector as a violation prints it: '12:2,31:1'")
      return [Number(match[1]), Number(match[2])]
    }),
  )
}
