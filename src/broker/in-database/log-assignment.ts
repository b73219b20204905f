import { AnySignal } from '../../any-signal.ts'
import type { Database } from '../../database/database.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Delivery } from '../../message.ts'
import type { Ownership } from '../../ownership/ownership.ts'
import type { Lease } from '../../ownership/ownership-store.ts'
import type { Runtime } from '../../runtime.ts'
import type { Assignment } from '../broker.ts'
import type { Wakeups } from './wakeups.ts'

/** A read hands over at most this much JSON, so that large messages do not fill the memory. */
const maxReadBytes = 4 * 1024 * 1024

/**
 * In a steady flow of batches that are neither tiny nor full, the next read waits this long for more to come: one commit of
 * many messages costs little more than one of few. At idle, and with a backlog, nothing waits.
 */
export const gatherMs = 20
const flowMessages = 16

export class LogAssignment implements Assignment {
  readonly subscription: Subscription
  readonly partition: string
  /** Only over the app's own database: a lease in another one cannot fence commits in the app's. */
  readonly lease: Lease | undefined
  readonly revoked: AbortSignal
  readonly lost: AbortSignal
  readonly #revoke = new AbortController()
  readonly #lose = new AbortController()
  readonly #database: Database<unknown>
  readonly #wakeups: Wakeups
  readonly #ownership: Ownership
  readonly #acknowledges: boolean
  readonly #lease: Lease
  readonly #onReleased: () => void
  readonly #outstanding = new Set<bigint>()
  #again: Delivery[] = []
  #position: bigint
  /** Messages of the last read. */
  #last = 0
  readonly #runtime: Runtime

  constructor(options: {
    database: Database<unknown>
    wakeups: Wakeups
    ownership: Ownership
    subscription: Subscription
    partition: string
    lease: Lease
    position: bigint
    acknowledges: boolean
    runtime: Runtime
    onReleased: () => void
  }) {
    this.#database = options.database
    this.#wakeups = options.wakeups
    this.#ownership = options.ownership
    this.#acknowledges = options.acknowledges
    this.#onReleased = options.onReleased
    this.#position = options.position
    this.#runtime = options.runtime
    this.subscription = options.subscription
    this.partition = options.partition
    this.#lease = options.lease
    this.lease = options.acknowledges ? undefined : options.lease
    this.revoked = this.#revoke.signal
    this.lost = this.#lose.signal
  }

  get epoch(): bigint {
    return this.#lease.epoch
  }

  revoke(): void {
    this.#revoke.abort()
  }

  lose(): void {
    this.#revoke.abort()
    this.#lose.abort()
  }

  async next(limit: number, signal: AbortSignal): Promise<readonly Delivery[] | undefined> {
    const { topic } = this.subscription
    using either = new AnySignal([signal, this.revoked])
    if (this.#last >= flowMessages && this.#last < limit) await this.#runtime.sleep(gatherMs, either.signal)
    while (!either.aborted) {
      if (this.#again.length > 0) return this.#again.splice(0, limit)
      const version = this.#wakeups.version(topic, this.partition)
      const deliveries = await this.#database.read((stores) =>
        stores.log.read(topic, this.partition, this.#position, limit, maxReadBytes),
      )
      const last = deliveries.at(-1)?.offset
      if (last !== undefined) {
        this.#position = last
        this.#last = deliveries.length
        if (this.#acknowledges) for (const { offset } of deliveries) if (offset !== undefined) this.#outstanding.add(offset)
        return deliveries
      }
      await this.#wakeups.wait(topic, this.partition, version, either.signal)
    }
    return undefined
  }

  /** With the app's own database the checkpoint says it all. Over another one, everything below the oldest open delivery is acknowledged there. */
  async settle(done: readonly { readonly delivery: Delivery; readonly as: 'done' | 'again' }[]): Promise<void> {
    const before = this.#outstanding.size
    for (const { delivery, as } of done) {
      if (as === 'again') this.#again.push(delivery)
      else if (delivery.offset !== undefined) this.#outstanding.delete(delivery.offset)
    }
    if (!this.#acknowledges || this.#outstanding.size === before) return
    const oldest = this.#outstanding.values().next().value
    const acknowledged = oldest === undefined ? this.#position : oldest - 1n
    await this.#database.write(
      async (session) => {
        await session.ownership.guard(this.#lease)
        await session.checkpoints.advance(this.subscription, this.partition, { offset: acknowledged, applied: 0, suppressed: 0 })
      },
      { what: `acknowledge ${this.#lease.name}` },
    )
  }

  async drained(): Promise<boolean> {
    if (this.#again.length > 0) return false
    return (await this.#database.read((stores) => stores.log.head(this.subscription.topic, this.partition))) <= this.#position
  }

  async released(): Promise<void> {
    this.revoke()
    try {
      await this.#ownership.release(this.#lease)
    } finally {
      this.#onReleased()
    }
  }
}
