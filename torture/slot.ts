import { fileURLToPath } from 'node:url'
import type { Halt } from '../test/support/torture-halt.ts'
import { Worker } from '../test/support/worker-process.ts'
import type { OpenKey, Publications } from './publications.ts'
import type { Instruction, WorkerConfig } from './worker.ts'

const program = fileURLToPath(new URL('./worker.ts', import.meta.url))

export interface SlotOptions {
  readonly number: number
  readonly publications: Publications
  /** For the next process in this slot. */
  readonly config: (start: number, publish: readonly OpenKey[]) => WorkerConfig
  readonly onLine: (pid: number, line: string) => void
  /** It ended, or said something that ought not to be, and nobody had done anything to it. */
  readonly onUnexpected: (story: string) => void
  /** `start()` was refused: the file could not be used at that moment. */
  readonly onRefused: (code: string, story: string) => void
}

/** One place for a worker process: whenever it has died another is started in its stead. */
export class Slot {
  readonly number: number
  readonly #options: SlotOptions
  #worker: Worker | undefined
  #starts = 0
  #started = false
  /** Who is ending the process that runs now. */
  #doomedBy: string | undefined
  #halted: ((where: string) => void) | undefined

  constructor(options: SlotOptions) {
    this.#options = options
    this.number = options.number
  }

  get worker(): Worker | undefined {
    return this.#worker
  }

  /** It consumes, and nobody is about to end it. */
  get isUp(): boolean {
    return this.#worker !== undefined && this.#started && this.#doomedBy === undefined
  }

  get starts(): number {
    return this.#starts
  }

  /** Starts a process if there is none, and waits until it consumes, or has ended before it could. */
  async run(): Promise<Worker | undefined> {
    if (this.#worker !== undefined) return this.#started ? this.#worker : undefined
    const { publications, config } = this.#options
    const publish = publications.of(this.number)
    this.#doomedBy = undefined
    this.#started = false
    let begun = (): void => {}
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    const worker: Worker = new Worker(program, config(this.#starts++, publish), {
      onLine: (line) => {
        this.#options.onLine(worker.pid, line)
        this.#heard(line, begun)
      },
    })
    this.#worker = worker
    const ended = worker.ended.then(({ code, signal }) => {
      const refused = worker.said('refused ')
      if (refused !== undefined) this.#options.onRefused(refused.split(' ')[1] ?? '', tail(worker))
      else if (this.#doomedBy === undefined) this.#options.onUnexpected(`ended with ${code ?? signal}: ${tail(worker)}`)
      if (refused === undefined) publications.interrupted(this.number)
      this.#worker = undefined
    })
    const limit = setTimeout(() => {
      this.#options.onUnexpected(`does not start within a minute: ${tail(worker)}`)
      this.doom('too slow to start')
      worker.kill('SIGKILL')
    }, 60_000)
    await Promise.race([started, ended])
    clearTimeout(limit)
    return this.#worker === undefined ? undefined : worker
  }

  /** Claims the end of the process that runs now; false when somebody else has, or there is none. */
  doom(by: string): boolean {
    if (this.#worker === undefined || this.#doomedBy !== undefined) return false
    this.#doomedBy = by
    return true
  }

  /** It lives on. */
  spare(by: string): void {
    if (this.#doomedBy === by) this.#doomedBy = undefined
  }

  get doomedBy(): string | undefined {
    return this.#doomedBy
  }

  tell(instruction: Instruction): void {
    this.#worker?.tell(JSON.stringify(instruction))
  }

  /** Resolves with where it halted, or undefined when it has not within `ms` or has ended otherwise. */
  async halt(halt: Halt, ms: number): Promise<string | undefined> {
    const worker = this.#worker
    if (worker === undefined) return undefined
    const halted = new Promise<string>((resolve) => {
      this.#halted = resolve
    })
    this.tell({ arm: halt })
    const where = await within(ms, Promise.race([halted, worker.ended.then(() => undefined)]))
    this.#halted = undefined
    if (where === undefined) this.tell({ arm: null })
    return where
  }

  /** Asked to stop, and given the time it takes. */
  async stop(): Promise<void> {
    const worker = this.#worker
    if (worker === undefined || !this.doom('stop')) return
    worker.child.stdin?.end()
    const { code, signal, late } = await worker.endOrKill(60_000)
    if (late) this.#options.onUnexpected(`does not stop within a minute: ${tail(worker)}`)
    else if (code !== 0) this.#options.onUnexpected(`asked to stop, ended with ${code ?? signal}: ${tail(worker)}`)
  }

  /** From here on it executes no instruction of its own; a system call may still be under way. */
  async freeze(): Promise<void> {
    const worker = this.#worker
    if (worker === undefined) return
    worker.kill('SIGSTOP')
    // T, t: stopped. D: in a call that cannot be interrupted, and it stops before it hears of its result.
    for (let left = 1_000; left > 0 && this.#worker === worker && !/[TtDZ]/.test(stateOf(worker)); left--) await pause(1)
  }

  async kill(by: string): Promise<void> {
    const worker = this.#worker
    if (worker === undefined) return
    this.#doomedBy = by
    worker.kill('SIGKILL')
    await worker.ended
  }

  #heard(line: string, begun: () => void): void {
    if (line.startsWith('ack ')) {
      const more = this.#options.publications.heard(this.number, line.slice('ack '.length))
      if (more !== undefined) this.tell({ publish: more })
    } else if (line.startsWith('error ')) {
      this.#options.publications.failed(this.number, line.slice('error '.length))
    } else if (line.startsWith('halted ')) {
      const where = line.split(' ')[1] ?? ''
      if (this.#halted !== undefined) this.#halted(where)
      // Its orders were taken back too late: let it go on.
      else setTimeout(() => void (this.#doomedBy !== 'power-cut' && this.#worker?.kill('SIGCONT')), 200)
    } else if (line === 'started') {
      this.#started = true
      begun()
    }
  }
}

function stateOf(worker: Worker): string {
  try {
    return worker.state
  } catch {
    return 'Z'
  }
}

export function tail(worker: Worker): string {
  // The error first: of a long story only the beginning may be read.
  return [`process ${worker.pid}`, worker.stderr.slice(-4_000), ...worker.lines.slice(-15)].join('\n  ')
}

export async function within<R>(ms: number, promise: Promise<R>): Promise<R | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
