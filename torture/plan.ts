import type { Fault, FaultKind } from './fault-kinds.ts'
import { shares } from './fault-kinds.ts'

/** Which fault comes next, and when there have been enough. */
export class Plan {
  readonly faults: Fault[] = []
  readonly #kinds: readonly FaultKind[]
  readonly #limit: number
  readonly #untilMs: number
  readonly #begun = new Map<FaultKind, number>()

  constructor(
    kinds: readonly FaultKind[],
    { faults, minutes }: { readonly faults: number | undefined; readonly minutes: number | undefined },
  ) {
    this.#kinds = kinds
    this.#limit = faults ?? Number.POSITIVE_INFINITY
    this.#untilMs = performance.now() + (minutes ?? Number.POSITIVE_INFINITY) * 60_000
  }

  get over(): boolean {
    return this.faults.length >= this.#limit || performance.now() >= this.#untilMs
  }

  /** Of those that can be done here, a kind that has had less than its share is more likely. Undefined: none of them is called for. */
  next<K extends FaultKind>(possible: readonly K[], random: () => number): K | undefined {
    const wanted = possible.filter((kind) => this.#kinds.includes(kind))
    const weights = wanted.map((kind) => this.#share(kind) * (this.#isMissing(kind) ? 40 : this.isDue(kind) ? 4 : 1))
    let drawn = random() * weights.reduce((sum, weight) => sum + weight, 0)
    return wanted.find((_, index) => {
      drawn -= weights[index] ?? 0
      return drawn < 0
    })
  }

  /** It has had less than its share, those under way counted. */
  isDue(kind: FaultKind): boolean {
    if (!this.#kinds.includes(kind)) return false
    const done = this.faults.filter((fault) => fault.kind === kind).length + (this.#begun.get(kind) ?? 0)
    return done < this.#share(kind) * (this.faults.length + 1)
  }

  /** Half of a short run is over, and it has not taken place. */
  #isMissing(kind: FaultKind): boolean {
    return this.faults.length > this.#limit / 2 && this.faults.every((fault) => fault.kind !== kind)
  }

  /** Counts what took place, and nothing else. */
  async carryOut(kind: FaultKind, inject: () => Promise<Fault | undefined>): Promise<void> {
    this.#begun.set(kind, (this.#begun.get(kind) ?? 0) + 1)
    try {
      const fault = await inject()
      if (fault !== undefined) this.faults.push(fault)
    } finally {
      this.#begun.set(kind, (this.#begun.get(kind) ?? 1) - 1)
    }
  }

  #share(kind: FaultKind): number {
    return shares[kind] / this.#kinds.reduce((sum, each) => sum + shares[each], 0)
  }
}
