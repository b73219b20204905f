import { Turns } from './turns.ts'

const most = 1_024
/** After a conflict so many batches of this process run one at a time before some overlap again. */
const batchesAlone = 50
/** A limit is doubled after so many batches without a conflict. */
const patience = 4
/** A batch that waits longer for a lock gives up: who has it may be waiting for us, and the server looks for that only after a second. */
const longestLockMs = 250

/** How a batch of messages is run. */
export interface BatchPlan {
  readonly alone: boolean
  readonly mostMessages: number
  readonly lockTimeoutMs: number | undefined
}

/**
 * A batch holds what its handlers have locked until it commits, so batches that write the same rows meet, and wait for each other in
 * a circle if need be. One of them gives way and runs again. From then on the batches of this process take turns, which costs little
 * as each holds many messages; should they still meet others, of another process, they become smaller, down to one message, which
 * waits as long as it takes. Without conflicts all that is undone step by step.
 */
export class Conflicts {
  readonly #turns = new Turns()
  #alone = 0
  #messages = most
  #quiet = 0

  /** The batch's turn has come; to be ended. */
  async begin(): Promise<BatchPlan> {
    const alone = this.#alone > 0
    await this.#turns.take(alone)
    const mostMessages = this.#messages
    return { alone, mostMessages, lockTimeoutMs: alone && mostMessages === 1 ? undefined : longestLockMs }
  }

  /** `ran`: messages it had got to. */
  end({ alone }: BatchPlan, how: 'done' | 'conflict' | 'failed', ran: number): void {
    this.#turns.release(alone)
    if (how === 'conflict') {
      this.#quiet = 0
      this.#alone = batchesAlone
      if (alone) this.#messages = Math.max(1, Math.floor(Math.min(this.#messages, Math.max(1, ran)) / 4))
    } else if (how === 'done') {
      if (this.#alone > 0) this.#alone--
      if (this.#messages >= most || ++this.#quiet < patience) return
      this.#quiet = 0
      this.#messages *= 2
    }
  }
}
