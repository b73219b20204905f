import type { Changes } from '../../database/database.ts'

interface Waiting {
  readonly partition: string
  wake(): void
}

/** Lets the reader of a partition wait for its next commit without missing one. */
export class Wakeups {
  readonly #versions = new Map<string, number>()
  /** By topic. */
  readonly #waiting = new Map<string, Set<Waiting>>()
  readonly #listening: Disposable
  #everything = 0

  constructor(changes: Changes) {
    this.#listening = changes.onChange((touched) => {
      if (touched === undefined) {
        this.#everything++
        for (const topic of this.#waiting.keys()) this.#wake(topic)
        return
      }
      for (const name of touched) {
        this.#versions.set(name, (this.#versions.get(name) ?? 0) + 1)
        this.#wake(name)
        // Where a topic's own name has a slash in it, somebody else may be woken for nothing.
        const slash = name.lastIndexOf('/')
        if (slash >= 0) this.#wake(name.slice(0, slash), name.slice(slash + 1))
      }
    })
  }

  /** Look at this before reading: if it is another afterwards, something may have come in between. */
  version(topic: string, partition: string): number {
    return this.#everything + (this.#versions.get(topic) ?? 0) + (this.#versions.get(`${topic}/${partition}`) ?? 0)
  }

  /** Resolves at the next change, or at once when the version is no longer `since`, or when `signal` aborts. */
  wait(topic: string, partition: string, since: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.version(topic, partition) !== since) return Promise.resolve()
    return new Promise((resolve) => {
      let waiting = this.#waiting.get(topic)
      if (waiting === undefined) {
        waiting = new Set()
        this.#waiting.set(topic, waiting)
      }
      const all = waiting
      const wake = (): void => {
        all.delete(one)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const one: Waiting = { partition, wake }
      all.add(one)
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  close(): void {
    this.#listening[Symbol.dispose]()
    for (const topic of this.#waiting.keys()) this.#wake(topic)
  }

  #wake(topic: string, partition?: string): void {
    for (const one of [...(this.#waiting.get(topic) ?? [])])
      if (partition === undefined || one.partition === partition) one.wake()
  }
}
