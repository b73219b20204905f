import { writeSync } from 'node:fs'
import type { Runtime } from '../../src/index.ts'
import type { Point } from '../../src/points.ts'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'

/** Where, and at which pass, a worker kills or freezes itself. */
export interface Halt {
  readonly at: Point
  readonly pass: number
  readonly signal: 'SIGKILL' | 'SIGSTOP'
}

/** Synchronous: said before the process ends, or not at all. */
export const say = (line: string): void => void writeSync(1, `${line}\n`)

/** The real runtime, which halts the process at a named point. `active` says whether passes count yet. */
export function runtimeThatHalts(halt: Halt | undefined, active: () => boolean = () => true): Runtime {
  if (halt === undefined) return nodeRuntime()
  return { ...nodeRuntime(), reached: new Halting(halt, active).reached }
}

/** Counts the passes of a point since it was told of it. */
export class Halting {
  #halt: Halt | undefined
  #passes = 0
  readonly #active: () => boolean

  constructor(halt?: Halt, active: () => boolean = () => true) {
    this.#halt = halt
    this.#active = active
  }

  /** In place of the one before; undefined: nowhere. */
  arm(halt: Halt | undefined): void {
    this.#halt = halt
    this.#passes = 0
  }

  readonly reached = (point: Point): void => {
    const halt = this.#halt
    if (halt === undefined || point !== halt.at || !this.#active() || ++this.#passes !== halt.pass) return
    this.#halt = undefined
    haltNow(halt.signal, `${point} ${halt.pass}`)
  }
}

export function haltNow(signal: 'SIGKILL' | 'SIGSTOP', where: string): void {
  say(`halted ${where}`)
  process.kill(process.pid, signal)
  // The signal may take a moment to arrive; nothing may be done meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, signal === 'SIGKILL' ? 60_000 : 50)
}
