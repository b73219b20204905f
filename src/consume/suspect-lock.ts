/**
 * Lets one suspect of this process run at a time, and nothing beside it that could be to blame instead: a message whose
 * start is marked when a neighbour ends the process would be accused of it. Neighbours that may take long (`receive`) are
 * not held up; what ends the process among them is soon a suspect itself, and then runs alone as well.
 */
export class SuspectLock {
  #lastSuspect: Promise<void> = Promise.resolve()
  /** Set while a suspect stops others. */
  #gate: Promise<void> | undefined
  #sharing = 0
  #whenNobodyShares: (() => void) | undefined

  /** Ordinary work: beside other ordinary work, never beside a suspect that stops others. */
  async share<R>(work: () => Promise<R>): Promise<R> {
    while (this.#gate !== undefined) await this.#gate
    this.#sharing++
    try {
      return await work()
    } finally {
      if (--this.#sharing === 0) this.#whenNobodyShares?.()
    }
  }

  /** A suspect: after the suspects before it and, with `stopsOthers`, after the ordinary work that has begun. */
  async alone<R>(work: () => Promise<R>, options: { readonly stopsOthers: boolean }): Promise<R> {
    const before = this.#lastSuspect
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    this.#lastSuspect = ended
    await before
    if (options.stopsOthers) this.#gate = ended
    try {
      if (options.stopsOthers && this.#sharing > 0)
        await new Promise<void>((resolve) => {
          this.#whenNobodyShares = resolve
        })
      return await work()
    } finally {
      this.#whenNobodyShares = undefined
      this.#gate = undefined
      end()
    }
  }
}
