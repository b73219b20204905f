/** At most `size` pieces of work at the same time; the others wait their turn in order. */
export class Slots {
  readonly size: number
  #used = 0
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.size = size
  }

  async use<R>(work: () => Promise<R>): Promise<R> {
    if (this.#used >= this.size) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#used++
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // The slot is handed on, not given back: nobody can slip in between.
      if (next !== undefined) next()
      else this.#used--
    }
  }
}
