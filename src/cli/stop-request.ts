import { constants } from 'node:os'

type StopName = 'SIGINT' | 'SIGTERM'

/**
 * The first SIGINT or SIGTERM asks to finish what has begun; a second one ends the process at once, as if it had no
 * handler. Either is safe: what was not acknowledged comes again.
 */
export class StopRequest implements Disposable {
  readonly #controller = new AbortController()
  readonly #abandon = new Set<() => void>()
  readonly #onAsked: () => void
  #name: StopName | undefined

  constructor(onAsked: () => void) {
    this.#onAsked = onAsked
    process.on('SIGINT', this.#receive)
    process.on('SIGTERM', this.#receive)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What the shell expects of a process that ended because of the signal. */
  get exitCode(): number {
    return this.#name === undefined ? 0 : 128 + constants.signals[this.#name]
  }

  /** `task` runs before a second signal ends the process. */
  beforeSuddenEnd(task: () => void): Disposable {
    this.#abandon.add(task)
    return { [Symbol.dispose]: () => this.#abandon.delete(task) }
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#receive)
    process.off('SIGTERM', this.#receive)
  }

  readonly #receive = (name: StopName): void => {
    if (this.#name === undefined) {
      this.#name = name
      this.#onAsked()
      this.#controller.abort(new Error(`stopped by ${name}`))
      return
    }
    for (const task of this.#abandon) task()
    this[Symbol.dispose]()
    // biome-ignore lint/plugin: the user's own signal, given back to the system to do what it does without a handler.
    process.kill(process.pid, name)
  }
}
