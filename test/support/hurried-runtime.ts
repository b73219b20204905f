import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import type { Runtime } from '../../src/runtime.ts'

/** The real runtime `speed` times as fast, from `originMs` of the real clock on: the same in every process that is told both. */
export function hurriedRuntime(originMs: number, speed: number): Runtime {
  const real = nodeRuntime()
  return {
    ...real,
    wallMs: () => Math.floor(originMs + (real.wallMs() - originMs) * speed),
    monotonicMs: () => real.monotonicMs() * speed,
    sleep: (ms, signal) => real.sleep(ms / speed, signal),
    every: (ms, tick) => real.every(Math.max(1, ms / speed), tick),
    after: (ms, task) => real.after(ms / speed, task),
  }
}
