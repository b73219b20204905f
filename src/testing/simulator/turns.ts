/** So many at a time; the others wait in line. */
export class Turns {
  readonly #size: number
  readonly #waiting: (() => void)[] = []
  taken = 0

  constructor(size: number) {
    this.#size = size
  }

  async take(): Promise<void> {
    if (this.taken < this.#size) this.taken++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.taken--
    else next()
  }
}
