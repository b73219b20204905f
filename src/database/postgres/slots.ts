/** At most so many at a time; the others wait in line. */
export class Slots {
  readonly #size: number
  readonly #waiting: (() => void)[] = []
  #idle: (() => void)[] = []
  #taken = 0

  constructor(size: number) {
    this.#size = size
  }

  /** Resolves when none is taken. */
  async idle(): Promise<void> {
    if (this.#taken > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** False: `signal` was aborted first. */
  async take(signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted === true) return false
    if (this.#taken < this.#size) {
      this.#taken++
      return true
    }
    return new Promise<boolean>((resolve) => {
      const turn = (): void => {
        signal?.removeEventListener('abort', give)
        resolve(true)
      }
      const give = (): void => {
        const place = this.#waiting.indexOf(turn)
        if (place === -1) return
        this.#waiting.splice(place, 1)
        resolve(false)
      }
      signal?.addEventListener('abort', give, { once: true })
      this.#waiting.push(turn)
    })
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next()
      return
    }
    this.#taken--
    if (this.#taken > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}
