/** By then it should have been given up long ago. */
const enough = 50

interface Accused {
  readonly topic: string
  readonly group: string
  readonly id: string
}

/**
 * Messages whose handler ends its process whenever it runs for them, as one does that runs out of memory or calls a library that
 * crashes. Such a message must come to a person, and none of its neighbours may. Then somebody mends the handler, and the
 * message is attempted again.
 */
export class DeadlyMessages {
  readonly #state = new Map<string, 'harmless' | 'deadly' | 'mended'>()
  readonly #wrongs: string[] = []
  /** One in a schedule shows what there is to be seen, and takes many lives. */
  #any = false
  #deaths = 0

  /** Whether this is the end of the process: decided when the message first comes up, until there is one. */
  kills({ topic, group, id }: Accused, decide: () => boolean): boolean {
    const name = `${topic}/${group} ${id}`
    let state = this.#state.get(name)
    if (state === undefined && !this.#any) {
      state = decide() ? 'deadly' : 'harmless'
      this.#state.set(name, state)
      this.#any = state === 'deadly'
    }
    if (state !== 'deadly') return false
    if (++this.#deaths <= enough) return true
    this.#state.set(name, 'mended')
    this.#wrongs.push(`${id} of topic ${topic} has ended the process of group ${group} ${enough} times, and no person is told.`)
    return false
  }

  /** It has been given up. What hands over another of the same, and knows no repeats, begins anew; a person comes when all is quiet. */
  givenUp({ topic, group, id }: Accused): void {
    if (this.#state.get(`${topic}/${group} ${id}`) === 'deadly') this.#deaths = 0
  }

  /** A person is told that it has ended its process. */
  accused({ topic, group, id }: Accused): void {
    const name = `${topic}/${group} ${id}`
    if (this.#state.get(name) === 'deadly') this.#state.set(name, 'mended')
    else {
      const why = this.#state.get(name) === 'mended' ? 'it has not since its handler was mended' : 'it never did'
      this.#wrongs.push(`${id} of topic ${topic} is said to have ended the process of group ${group}, and ${why}.`)
    }
  }

  /** In sentences, at the end. Whoever waits behind another may have run before, and has no turn any more. */
  wrongs(behind: readonly Accused[]): string[] {
    const waiting = new Set(behind.map(({ topic, group, id }) => `${topic}/${group} ${id}`))
    const missed = [...this.#state].filter(([name, state]) => state === 'deadly' && !waiting.has(name))
    return [...this.#wrongs, ...missed.map(([name]) => `${name} ends the process whenever it runs, and no person is told.`)]
  }
}
