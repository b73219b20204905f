import { isOnefoldError } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import type { Ownership } from './ownership.ts'
import type { Lease } from './ownership-store.ts'

/**
 * Repeats `step` in one process at a time. The lease only spares the others the work: a step must be harmless when two
 * run at once.
 */
export class LeasedTask {
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(options: {
    name: string
    everyMs: number
    ownership: Ownership
    runtime: Runtime
    step: () => Promise<boolean>
    onError: (error: unknown) => void
  }) {
    this.#running = this.#run(options)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run({
    name,
    everyMs,
    ownership,
    runtime,
    step,
    onError,
  }: {
    name: string
    everyMs: number
    ownership: Ownership
    runtime: Runtime
    step: () => Promise<boolean>
    onError: (error: unknown) => void
  }): Promise<void> {
    const { signal } = this.#stop
    let lease: Lease | undefined
    while (!signal.aborted) {
      let more = false
      try {
        if (lease === undefined) {
          const { gone } = await ownership.members(name)
          lease = await ownership.take(name, { gone })
        } else if (!(await ownership.holds(lease))) lease = undefined
        if (lease !== undefined) more = await step()
      } catch (error) {
        if (!isOnefoldError(error, 'DATABASE_BUSY')) onError(error)
      }
      await runtime.sleep(more ? 5 : everyMs, signal)
    }
    if (lease !== undefined) await ownership.release(lease).catch(() => undefined)
  }
}
