import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Runtime } from '../../src/runtime.ts'

/** The real runtime with clocks that a test moves. */
export class ShiftedRuntime {
  wallAheadMs = 0
  monotonicAheadMs = 0
  readonly runtime: Runtime

  constructor() {
    const real = nodeRuntime()
    this.runtime = {
      ...real,
      wallMs: () => real.wallMs() + this.wallAheadMs,
      monotonicMs: () => real.monotonicMs() + this.monotonicAheadMs,
    }
  }

  /** Time passes: both clocks tell. */
  pass(ms: number): void {
    this.wallAheadMs += ms
    this.monotonicAheadMs += ms
  }
}
