import type { Database } from '../../database/database.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Ownership } from '../../ownership/ownership.ts'
import { partitionOf } from '../../partition-of.ts'
import type { Runtime } from '../../runtime.ts'
import type { Assignment, SubscribeOptions } from '../broker.ts'
import { LogAssignment } from './log-assignment.ts'
import type { Wakeups } from './wakeups.ts'

export interface AssignerOptions {
  readonly database: Database<unknown>
  readonly runtime: Runtime
  readonly ownership: Ownership
  readonly wakeups: Wakeups
  readonly subscription: Subscription
  readonly partitions: number
  readonly from: SubscribeOptions['from']
  readonly acknowledges: boolean
  readonly signal: AbortSignal
}

/** Whose turn a partition is. Everybody computes the same from the same list; the lease settles what is in between. */
export function memberFor<T>(members: readonly T[], membership: string, partition: number): T | undefined {
  if (members.length === 0) return undefined
  return members[(partition + partitionOf(membership, members.length)) % members.length]
}

/** Takes and gives back one subscription's partitions as processes come and go. */
export class PartitionAssigner {
  readonly #options: AssignerOptions
  readonly #membership: string
  readonly #held = new Map<number, LogAssignment>()
  readonly #fresh: LogAssignment[] = []

  constructor(options: AssignerOptions) {
    this.#options = options
    this.#membership = `${options.subscription.topic}/${options.subscription.group}`
  }

  async *assignments(): AsyncIterable<Assignment> {
    const { ownership, runtime, signal } = this.#options
    await ownership.join(this.#membership)
    using _evicted = ownership.onEvicted(() => {
      for (const assignment of this.#held.values()) assignment.lose()
    })
    try {
      while (!signal.aborted) {
        try {
          await this.#tick()
        } catch {
          // A busy or full database: the next tick tries again.
        }
        // One by one: whoever leaves between two of them leaves the others to be released below.
        for (let next = this.#fresh.shift(); next !== undefined; next = this.#fresh.shift()) yield next
        await runtime.sleep(ownership.tickMs, signal)
      }
    } finally {
      for (const assignment of this.#fresh.splice(0)) await assignment.released().catch(() => undefined)
      // What has begun is finished first; who resigns earlier invites others to take what is still being worked on.
      while (signal.aborted && this.#held.size > 0) await runtime.sleep(5)
      for (const assignment of this.#held.values()) assignment.revoke()
      await ownership.resign(this.#membership).catch(() => undefined)
    }
  }

  async #tick(): Promise<void> {
    const { ownership } = this.#options
    const { live, gone, leases: records } = await ownership.members(this.#membership, `${this.#membership}/`)
    const leases = new Map(records.map((lease) => [lease.name, lease]))
    for (let partition = 0; partition < this.#options.partitions; partition++) {
      const name = `${this.#membership}/${partition}`
      const lease = leases.get(name)
      const held = this.#held.get(partition)
      const mine = ownership.isMe(memberFor(live, this.#membership, partition)?.id)
      if (held !== undefined) {
        if (lease?.epoch !== held.epoch) held.lose()
        else if (!mine) held.revoke()
      } else if (
        mine &&
        (lease?.owner === undefined ||
          ownership.isMe(lease.owner) ||
          gone.includes(lease.owner) ||
          !live.some((member) => member.id === lease.owner))
      ) {
        await this.#take(partition, name)
      } else if (lease !== undefined && ownership.isMe(lease.owner)) {
        // Its release failed. Nobody may take it as long as we live, so it is repeated until it succeeds.
        await ownership.release(lease)
      }
    }
  }

  async #take(partition: number, name: string): Promise<void> {
    const { ownership, database, runtime, subscription, acknowledges, wakeups } = this.#options
    const lease = await ownership.take(name)
    if (lease === undefined) return
    const number = String(partition)
    const checkpoint = await this.#options.from(number)
    const acknowledged = acknowledges ? await database.read((stores) => stores.checkpoints.get(subscription, number)) : undefined
    const assignment = new LogAssignment({
      database,
      wakeups,
      ownership,
      subscription,
      partition: number,
      lease,
      position: checkpoint ?? acknowledged ?? 0n,
      acknowledges,
      runtime,
      onReleased: () => {
        if (this.#held.get(partition) === assignment) this.#held.delete(partition)
      },
    })
    this.#held.set(partition, assignment)
    this.#fresh.push(assignment)
  }
}
