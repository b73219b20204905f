/** At most `size` pieces of work at the same time; with `use` the others wait their turn in order. */
export class Slots {
  readonly size: number
  #used = 0
  readonly #waiting: (() => void)[] = []
  /** Told when one has become free that nobody waited for. */
  onFree: (() => void) | undefined

  constructor(size: number) {
    this.size = size
  }

  async use<R>(work: () => Promise<R>): Promise<R> {
    if (!this.tryTake()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      this.give()
    }
  }

  get free(): number {
    return Math.max(0, this.size - this.#used)
  }

  /** True: one is taken, to be given back with `give`. */
  tryTake(): boolean {
    if (this.#used >= this.size) return false
    this.#used++
    return true
  }

  give(): void {
    const next = this.#waiting.shift()
    // The slot is handed on, not given back: nobody can slip in between.
    if (next !== undefined) next()
    else {
      this.#used--
      this.onFree?.()
    }
  }
}
