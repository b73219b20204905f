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
  let passes = 0
  return {
    ...nodeRuntime(),
    reached(point) {
      if (point === halt.at && active() && ++passes === halt.pass) haltNow(halt.signal, `${point} ${passes}`)
    },
  }
}

export function haltNow(signal: 'SIGKILL' | 'SIGSTOP', where: string): void {
  say(`halted ${where}`)
  process.kill(process.pid, signal)
  // The signal may take a moment to arrive; nothing may be done meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, signal === 'SIGKILL' ? 60_000 : 50)
}
