import type { Changes } from '../../database/database.ts'

/** Lets readers of a topic wait for its next commit without missing one. */
export class Wakeups {
  readonly #versions = new Map<string, number>()
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #listening: Disposable
  #everything = 0

  constructor(changes: Changes) {
    this.#listening = changes.onChange((topics) => {
      if (topics === undefined) {
        this.#everything++
        for (const name of this.#waiting.keys()) this.#wake(name)
      } else {
        for (const name of topics) {
          this.#versions.set(name, (this.#versions.get(name) ?? 0) + 1)
          this.#wake(name)
        }
      }
    })
  }

  /** Look at this before reading: if it is another afterwards, something may have come in between. */
  version(topic: string): number {
    return this.#everything + (this.#versions.get(topic) ?? 0)
  }

  /** Resolves at the next change, or at once when the version is no longer `since`, or when `signal` aborts. */
  wait(topic: string, since: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.version(topic) !== since) return Promise.resolve()
    return new Promise((resolve) => {
      let waiting = this.#waiting.get(topic)
      if (waiting === undefined) {
        waiting = new Set()
        this.#waiting.set(topic, waiting)
      }
      const all = waiting
      const wake = (): void => {
        all.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      all.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  close(): void {
    this.#listening[Symbol.dispose]()
    for (const name of this.#waiting.keys()) this.#wake(name)
  }

  #wake(topic: string): void {
    for (const wake of [...(this.#waiting.get(topic) ?? [])]) wake()
  }
}
