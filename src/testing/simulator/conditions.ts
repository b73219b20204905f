/**
 * How the world is in one schedule, beside what goes wrong in it: a card that is declined. The end is then rightly another one, so
 * it is compared with that of a run without faults under the same conditions.
 */
export class Conditions {
  readonly #held: Set<string>
  /** They were given, and no others come up. */
  readonly given: boolean
  /** Why no run without faults can say how this schedule must end; undefined: one can. */
  incomparable: string | undefined

  constructor(given?: Iterable<string>) {
    this.#held = new Set(given)
    this.given = given !== undefined
  }

  add(condition: string): void {
    this.#held.add(condition)
  }

  has(condition: string): boolean {
    return this.#held.has(condition)
  }

  list(): readonly string[] {
    return [...this.#held].sort()
  }
}
