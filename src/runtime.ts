/**
 * The only door to what differs from run to run: clocks, timers, randomness, identifiers, and the process itself.
 * The simulator owns this interface and with it every interleaving; a lint rule keeps `Date.now`, `Math.random`,
 * `setTimeout` and friends out of every other file.
 */
import type { Awaitable } from './message.ts'
import type { Point } from './points.ts'

export interface ProcessReference {
  readonly pid: number
  /** Machine, boot and pid namespace: two references can be compared only when `host` is equal. */
  readonly host: string
  /** When the process began, in the host's own units: tells a reused pid from the one that was meant. */
  readonly startedAt: string
}

export interface Runtime {
  /** Wall clock, milliseconds since 1970. May jump. Decides only when something is tried, never whether it is safe. */
  wallMs(): number
  /** Never goes backwards within one process. */
  monotonicMs(): number
  /** Uniform in [0, 1). */
  random(): number
  /** A fresh UUID, version 7: ordered by time, so that fresh identities are cheap to index. */
  uuid(): string
  /** Resolves after `ms`, or at once when `signal` aborts (it never rejects: the caller looks at its signal). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `tick` about every `ms` until disposed; does not keep the process alive. */
  every(ms: number, tick: () => void): Disposable
  /** Runs `task` once after `ms` unless disposed; does not keep the process alive. */
  after(ms: number, task: () => void): Disposable
  /** Runs `task` after the I/O that is already waiting. */
  defer(task: () => void): void
  readonly process: ProcessReference
  /** 'dead' only when that is certain. Decides only when a lease is tried, never whether a commit is safe. */
  isAlive(process: ProcessReference): 'alive' | 'dead' | 'unknown'
  /**
   * A guard for work that could block the event loop for ever: it ends this process when the work is inside and the loop
   * has not turned for `limitMs`. Undefined where the host has none. `what` names the work in the process's last line.
   */
  watch?(limitMs: number, what: string): Watchdog
  /** A named point that tests and the simulator may stop, delay or kill at. Costs one call when nobody listens. */
  reached?(point: Point): Awaitable<void>
  /** Ends the process without any cleaning up. */
  die(why: Error): never
}

/** A second thread sees what a blocked event loop cannot: that a synchronous handler never came back. */
export interface Watchdog extends Disposable {
  enter(): void
  leave(): void
}
