/** Work that may overlap, and work that may not: who waits to be alone is waited for by all who come later. */
export class Turns {
  #shared = 0
  #alone = false
  #waiting: { readonly alone: boolean; readonly begin: () => void }[] = []

  async take(alone: boolean): Promise<void> {
    if (!this.#alone && this.#waiting.length === 0 && (!alone || this.#shared === 0)) this.#begin(alone)
    else await new Promise<void>((begin) => this.#waiting.push({ alone, begin }))
  }

  release(alone: boolean): void {
    if (alone) this.#alone = false
    else this.#shared--
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#alone || (next.alone && this.#shared > 0)) return
      this.#waiting.shift()
      this.#begin(next.alone)
      next.begin()
    }
  }

  #begin(alone: boolean): void {
    if (alone) this.#alone = true
    else this.#shared++
  }
}
