/** A process of the bench, which ends when the one that started it does. */
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export class Child {
  readonly #process: ChildProcess
  readonly #said = new Map<string, PromiseWithResolvers<unknown>>()
  readonly #ended: Promise<unknown>
  #expected = false

  /** `program`: a file of this folder, which is given `options` and calls `inChild`. */
  constructor(program: string, options: object) {
    this.#process = fork(join(import.meta.dirname, program), [JSON.stringify(options)])
    this.#process.on('message', ({ word, value }: { word: string; value: unknown }) => this.#wordOf(word).resolve(value))
    this.#ended = once(this.#process, 'exit')
    void this.#ended.then(() => {
      if (this.#expected) return
      for (const { reject } of this.#said.values()) reject(new Error(`${program} ended by itself`))
    })
  }

  get pid(): number {
    return this.#process.pid as number
  }

  /** Resolves with what came along when it says this word, or at once if it has said it before. */
  heard(word: string): Promise<unknown> {
    return this.#wordOf(word).promise
  }

  tell(word: string): void {
    this.#process.send(word)
  }

  kill(): void {
    this.#expected = true
    this.#process.kill('SIGKILL')
  }

  /** In good order if that works within so many ms. */
  async stop(patienceMs = 20_000): Promise<void> {
    this.#expected = true
    // It may be about to end by itself.
    if (this.#process.connected) this.#process.send('stop', () => undefined)
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), patienceMs)
    await this.ended
    clearTimeout(timer)
  }

  get ended(): Promise<unknown> {
    return this.#ended
  }

  #wordOf(word: string): PromiseWithResolvers<unknown> {
    let said = this.#said.get(word)
    if (said === undefined) {
      said = Promise.withResolvers()
      said.promise.catch(() => undefined)
      this.#said.set(word, said)
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) said.reject(new Error('the process has ended'))
    }
    return said
  }
}

/** In the child: what it was given, how it says a word, and what happens when it is told one. */
export function inChild<Options>(): {
  readonly options: Options
  say(word: string, value?: unknown): void
  told(word: string): Promise<void>
} {
  const words = new Map<string, PromiseWithResolvers<void>>()
  const wordOf = (word: string): PromiseWithResolvers<void> => {
    const known = words.get(word) ?? Promise.withResolvers<void>()
    words.set(word, known)
    return known
  }
  process.on('message', (word: string) => wordOf(word).resolve())
  process.on('disconnect', () => process.exit(1))
  return {
    options: JSON.parse(process.argv[2] ?? '{}') as Options,
    say: (word, value) => void process.send?.({ word, value }),
    told: (word) => wordOf(word).promise,
  }
}
