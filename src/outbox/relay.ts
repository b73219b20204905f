import type { Broker } from '../broker/broker.ts'
import type { Database } from '../database/database.ts'
import type { OnefoldError } from '../errors.ts'
import { isOnefoldError } from '../errors.ts'
import type { Ownership } from '../ownership/ownership.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { Runtime } from '../runtime.ts'
import type { AnyTopic } from '../topic.ts'
import { adoptTopic } from '../topic.ts'
import type { NumberedRow, OutboxRow } from './outbox-store.ts'
import type { Sent } from './send.ts'
import { send } from './send.ts'

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
  /** The broker will never take this row: told once its mark is committed. */
  readonly onRefused: (row: OutboxRow, error: OnefoldError) => void
}

/**
 * Sends what committed transactions left in the outbox, in order, and removes a row only once the broker has it. A committed row always
 * leaves, whatever becomes of the message that caused it. One process at a time does it, under a lease.
 *
 * Before a row is sent for the first time it is given a number, in a commit under the lease's epoch (in a steady flow, that which
 * removes the rows sent before it). A crash in between sends the row again, from whichever process or copy of the database, with that
 * same number, and a receiver that has it knows it for ever (`InboxStore.claim`).
 *
 * A row that the broker will never take stays in the outbox, marked, and holds up nobody: `onRefused` hears of it once, `status`
 * counts it. Its number is missing at the receivers: a gap, which is kept as one range. So is the number of a row that is erased after
 * it was numbered; one erased before that has none.
 *
 * Bound: the oldest 500 rows are looked at. When those all wait behind refusals, so does what comes after them.
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
        await this.#sendAll(lease)
        await this.#quiet()
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

  /** Until nothing is left, or something must wait. */
  async #sendAll(lease: Lease): Promise<void> {
    const { broker, topicNamed, runtime } = this.#options
    const { signal } = this.#stop
    let rows = await this.#first(lease)
    while (rows.length > 0 && !signal.aborted) {
      const sent = await send(rows, { broker, topicNamed: (name) => topicNamed(name) ?? adoptTopic(name), signal })
      await runtime.reached?.('relay:sent')
      rows = await this.#commit(lease, sent)
      await runtime.reached?.('relay:removed')
      if (sent.failure !== undefined) throw sent.failure
    }
  }

  async #first(lease: Lease): Promise<readonly NumberedRow[]> {
    const { database, runtime } = this.#options
    const found = await database.read((stores) => stores.outbox.read(batchRows))
    await runtime.reached?.('relay:read')
    if (found.every(isNumbered)) return found
    const rows = await this.#commit(lease)
    await runtime.reached?.('relay:numbered')
    return rows
  }

  /** Removes what the broker has, marks what it will never take, and numbers what is sent next. */
  async #commit(lease: Lease, sent?: Sent): Promise<readonly NumberedRow[]> {
    const { database, runtime, onRefused } = this.#options
    const { taken = [], refused = [] } = sent ?? {}
    if (sent !== undefined && taken.length === 0 && refused.length === 0) return []
    const rows = await database.write(
      async (session) => {
        await session.ownership.guard(lease)
        await session.outbox.remove(taken.map(({ row }) => row))
        await session.outbox.refuse(
          refused.map(({ row, error }) => ({ row: row.row, reason: `${error.code}: ${error.message}` })),
          runtime.wallMs(),
        )
        return await session.outbox.number(batchRows)
      },
      { what: 'relay' },
    )
    for (const { row, error } of refused) onRefused(row, error)
    return rows
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

const isNumbered = (row: OutboxRow): row is NumberedRow => row.number !== undefined
