import { isOnefoldError } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import type { Ownership } from './ownership.ts'
import type { Lease } from './ownership-store.ts'

interface LeasedTaskOptions {
  readonly name: string
  readonly everyMs: number
  readonly ownership: Ownership
  readonly runtime: Runtime
  /** True: there is more to do now. A number: the next step is due in so many ms, or after `everyMs` if that is sooner. */
  readonly step: () => Promise<boolean | number>
  readonly onError: (error: unknown) => void
}

/**
 * Repeats `step` in one process at a time. The lease only spares the others the work: a step must be harmless when two
 * run at once.
 */
export class LeasedTask {
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(options: LeasedTaskOptions) {
    this.#running = this.#run(options)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run({ name, everyMs, ownership, runtime, step, onError }: LeasedTaskOptions): Promise<void> {
    const { signal } = this.#stop
    let lease: Lease | undefined
    while (!signal.aborted) {
      let waitMs = everyMs
      try {
        if (lease === undefined) lease = await ownership.take(name)
        else if (!(await ownership.holds(lease))) lease = undefined
        if (lease !== undefined) {
          const next = await step()
          if (next === true) waitMs = 5
          else if (typeof next === 'number') waitMs = Math.min(everyMs, Math.max(1, next))
        }
      } catch (error) {
        if (!isOnefoldError(error, 'DATABASE_BUSY')) onError(error)
      }
      await runtime.sleep(waitMs, signal)
    }
    if (lease !== undefined) await ownership.release(lease).catch(() => undefined)
  }
}
