import type { Broker } from '../broker/broker.ts'
import type { Database } from '../database/database.ts'
import { isOnefoldError } from '../errors.ts'
import type { Ownership } from '../ownership/ownership.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { Runtime } from '../runtime.ts'
import type { AnyTopic } from '../topic.ts'
import { adoptTopic } from '../topic.ts'
import type { OutboxRow } from './outbox-store.ts'

const batchRows = 500
const longestWaitMs = 10_000
/** How long an empty outbox is left alone when no commit is heard of. */
const idleMs = 1_000

export interface RelayOptions {
  readonly database: Database<unknown>
  readonly broker: Broker
  readonly ownership: Ownership
  readonly runtime: Runtime
  /** The topic as the program declared it, where it did. */
  readonly topicNamed: (name: string) => AnyTopic | undefined
  readonly onError: (error: unknown) => void
}

/**
 * Sends what committed transactions left in the outbox, in order, and removes a row only once the broker has it. A crash
 * in between sends it again under the same identity. A committed row always leaves, whatever becomes of the message
 * that caused it. One process at a time does it, under a lease.
 */
export class Relay {
  readonly #options: RelayOptions
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #wake: (() => void) | undefined
  #changed = false

  constructor(options: RelayOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#wake?.()
    await this.#running
  }

  async #run(): Promise<void> {
    const { database, ownership, runtime, onError } = this.#options
    const { signal } = this.#stop
    using _changes = database.changes.onChange(() => {
      this.#changed = true
      this.#wake?.()
    })
    let lease: Lease | undefined
    let waitMs = 0
    while (!signal.aborted) {
      try {
        lease ??= await ownership.take('relay')
        if (lease === undefined) {
          await runtime.sleep(ownership.tickMs, signal)
          continue
        }
        this.#changed = false
        const rows = await database.read((stores) => stores.outbox.read(batchRows))
        await runtime.reached?.('relay:read')
        if (rows.length > 0) await this.#send(lease, rows)
        else await this.#quiet()
        waitMs = 0
      } catch (error) {
        if (isOnefoldError(error, 'FENCED')) lease = undefined
        else onError(error)
        waitMs = Math.min(longestWaitMs, Math.max(50, waitMs * 2))
        await runtime.sleep(waitMs, signal)
      }
    }
    if (lease !== undefined) await ownership.release(lease).catch(() => undefined)
  }

  async #send(lease: Lease, rows: readonly OutboxRow[]): Promise<void> {
    const { database, broker, topicNamed, runtime } = this.#options
    const byTopic = Map.groupBy(rows, (row) => row.topic)
    const sent: bigint[] = []
    let failure: unknown
    for (const [name, group] of byTopic) {
      const topic = topicNamed(name) ?? adoptTopic(name)
      const results = await broker.publish(
        topic,
        group.map((row) => row.envelope),
        { signal: this.#stop.signal },
      )
      for (let index = 0; index < group.length; index++) {
        const result = results[index]
        const row = group[index] as OutboxRow
        // The same identity with another body was sent before: it can never be accepted, and waiting helps nobody.
        if (!(result instanceof Error) || result.code === 'ID_REUSED') sent.push(row.row)
        if (result instanceof Error) failure = result
      }
    }
    await runtime.reached?.('relay:sent')
    if (sent.length > 0) {
      await database.write(
        async (session) => {
          await session.ownership.guard(lease)
          await session.outbox.remove(sent)
        },
        { what: 'relay' },
      )
    }
    await runtime.reached?.('relay:removed')
    if (failure !== undefined) throw failure
  }

  async #quiet(): Promise<void> {
    if (this.#changed || this.#stop.signal.aborted) return
    const { runtime } = this.#options
    await new Promise<void>((resolve) => {
      const timer = runtime.after(idleMs, resolve)
      const wake = (): void => {
        timer[Symbol.dispose]()
        resolve()
      }
      this.#wake = wake
    })
    this.#wake = undefined
  }
}
