import type { Writable } from 'node:stream'
import { OnefoldError } from '../errors.ts'

/** Whoever read our stdout has gone (`| head -1`). Not a failure: nobody is left to be told anything. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

const progressEveryMs = 100

interface Screen extends Writable {
  readonly isTTY?: boolean
}

/** stdout carries the result and nothing else; stderr carries what people are told on the way. */
export class Terminal {
  readonly #stdout: Screen
  readonly #stderr: Screen
  readonly #nowMs: () => number
  #progressShown = false
  #progressMs = Number.NEGATIVE_INFINITY

  constructor(options: { stdout: Screen; stderr: Screen; nowMs: () => number }) {
    const { stdout, stderr } = options
    this.#stdout = stdout
    this.#stderr = stderr
    this.#nowMs = options.nowMs
    // Each write reports its own error; without a listener the same error would also end the process.
    stdout.on('error', () => {})
    stderr.on('error', () => {})
  }

  get isTerminal(): boolean {
    return this.#stdout.isTTY === true
  }

  get showsProgress(): boolean {
    return this.#stderr.isTTY === true
  }

  /** The result of a command. When nobody reads it any more, that is all right: what was done is done. */
  async write(text: string): Promise<void> {
    try {
      await this.handOver(text)
    } catch (error) {
      if (!(error instanceof OutputClosed)) throw error
    }
  }

  /** Resolves once the operating system has taken the text. @throws OutputClosed */
  handOver(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stdout.write(text, (error) => {
        if (!error) return resolve()
        const code = (error as NodeJS.ErrnoException).code
        const closed = code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ECONNRESET'
        if (closed) return reject(new OutputClosed('nobody reads stdout any more'))
        reject(new OnefoldError('NOT_POSSIBLE', `stdout cannot be written: ${error.message}.`, { retry: 'later', cause: error }))
      })
    })
  }

  json(document: unknown): Promise<void> {
    return this.write(`${JSON.stringify(document, jsonValue)}\n`)
  }

  /** A line for people. */
  note(text: string): void {
    this.endProgress()
    this.#stderr.write(`${text}\n`)
  }

  /** One line that is written over by the next; only where stderr is a terminal. */
  progress(text: string): void {
    if (!this.showsProgress || this.#nowMs() - this.#progressMs < progressEveryMs) return
    this.#progressShown = true
    this.#progressMs = this.#nowMs()
    this.#stderr.write(`\r\u001b[K${text}`)
  }

  endProgress(): void {
    if (this.#progressShown) this.#stderr.write('\r\u001b[K')
    this.#progressShown = false
  }
}

/** JSON has no bigint; positions and sequences are written as text, as everywhere in Onefold. */
function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
