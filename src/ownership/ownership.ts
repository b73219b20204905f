import type { Database } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'
import type { Lease, LeaseRecord, Owner } from './ownership-store.ts'

/**
 * This process as an owner: enrolled, kept alive by one small commit per quarter lease, and aware of who else is there.
 * Time and process lists only decide when a lease is tried; the epoch decides who may commit.
 */
export class Ownership {
  readonly #database: Database<unknown>
  readonly #runtime: Runtime
  readonly leaseMs: number
  readonly #memberships = new Set<string>()
  readonly #onEvicted = new Set<() => void>()
  #owner: bigint | undefined
  #beat: Disposable | undefined
  #renewal: Promise<void> | undefined
  #starting: Promise<void> | undefined

  constructor(database: Database<unknown>, runtime: Runtime, leaseMs: number) {
    this.#database = database
    this.#runtime = runtime
    this.leaseMs = leaseMs
  }

  /** How often assignments are looked over: often enough that a killed neighbour's work goes on at once. */
  get tickMs(): number {
    return Math.min(250, Math.max(20, this.leaseMs / 10))
  }

  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
    await this.#enroll()
    this.#beat = this.#runtime.every(this.leaseMs / 4, () => {
      this.#renewal ??= this.#renew().finally(() => {
        this.#renewal = undefined
      })
    })
  }

  /** Called when others have declared this process gone: every lease it held is lost. */
  onEvicted(listener: () => void): Disposable {
    this.#onEvicted.add(listener)
    return { [Symbol.dispose]: () => void this.#onEvicted.delete(listener) }
  }

  async join(membership: string): Promise<void> {
    this.#memberships.add(membership)
    await this.#database.write((session) => session.ownership.join(this.#id, [membership]), { what: `join ${membership}` })
  }

  async resign(membership: string): Promise<void> {
    this.#memberships.delete(membership)
    await this.#database.write((session) => session.ownership.resign(this.#id, [membership]), { what: `leave ${membership}` })
  }

  /**
   * Who takes part, this process included, without those known to be gone, and who holds the leases whose names begin so. One look:
   * every process asks again and again.
   */
  async members(
    membership: string,
    leasePrefix: string,
  ): Promise<{ live: readonly Owner[]; gone: readonly bigint[]; leases: readonly LeaseRecord[] }> {
    const { owners, members, leases } = await this.#database.read(async ({ ownership }) => ({
      owners: await ownership.owners(),
      members: await ownership.members(membership),
      leases: await ownership.leases(leasePrefix),
    }))
    const gone = this.#goneOf(owners)
    // In the order of owners, which is the same for everybody.
    const live = owners.filter(({ id }) => members.includes(id) && !gone.includes(id))
    return { live, gone, leases }
  }

  isMe(owner: bigint | undefined): boolean {
    return owner !== undefined && owner === this.#owner
  }

  /** Looks before it tries, so that waiting for a lease costs reads only. */
  async take(name: string, options: { force?: boolean } = {}): Promise<Lease | undefined> {
    const nowMs = this.#runtime.wallMs()
    const { owners, leases } = await this.#database.read(async ({ ownership }) => ({
      owners: await ownership.owners(),
      leases: await ownership.leases(name),
    }))
    const record = leases.find((lease) => lease.name === name)
    const holder = record?.owner === undefined ? undefined : owners.find((owner) => owner.id === record.owner)
    if (options.force !== true && holder !== undefined && holder.id !== this.#owner && !this.#isGone(holder)) return undefined
    // Ours, and nobody here knows of it: its COMMIT answered with an error, or what came after failed. No process has ended for that.
    if (record !== undefined && options.force !== true && this.isMe(record.owner)) await this.release(record)
    return this.#database.write(
      (session) =>
        session.ownership.take(name, this.#id, {
          nowMs,
          untilMs: nowMs + this.leaseMs,
          gone: [...this.#goneOf(owners), this.#id],
          force: options.force ?? false,
        }),
      { what: `take ${name}` },
    )
  }

  /** As far as can be seen; only the fence decides. */
  async holds(lease: Lease): Promise<boolean> {
    const records = await this.#database.read((stores) => stores.ownership.leases(lease.name))
    return records.some((record) => record.name === lease.name && record.epoch === lease.epoch && this.isMe(record.owner))
  }

  async release(lease: Pick<Lease, 'name' | 'epoch'>): Promise<void> {
    await this.#database.write((session) => session.ownership.release(lease), { what: `release ${lease.name}` })
  }

  async stop(): Promise<void> {
    // Whoever is about to be enrolled, or after an eviction enrolled anew, would stay so.
    await this.#starting?.catch(() => undefined)
    this.#beat?.[Symbol.dispose]()
    await this.#renewal
    const owner = this.#owner
    this.#owner = undefined
    this.#starting = undefined
    if (owner !== undefined) await this.#database.write((session) => session.ownership.leave(owner), { what: 'leave' })
  }

  get #id(): bigint {
    return this.#owner ?? -1n
  }

  #goneOf(owners: readonly Owner[]): bigint[] {
    return owners.filter((owner) => this.#isGone(owner)).map((owner) => owner.id)
  }

  #isGone(owner: Owner): boolean {
    if (owner.id === this.#owner) return false
    return owner.untilMs < this.#runtime.wallMs() || this.#runtime.isAlive(owner.process) === 'dead'
  }

  async #enroll(): Promise<void> {
    const nowMs = this.#runtime.wallMs()
    const owners = await this.#database.read((stores) => stores.ownership.owners())
    const gone = this.#goneOf(owners)
    this.#owner = await this.#database.write(
      async (session) => {
        await session.ownership.evict(gone)
        const owner = await session.ownership.enroll(this.#runtime.process, { nowMs, untilMs: nowMs + this.leaseMs })
        await session.ownership.join(owner, [...this.#memberships])
        return owner
      },
      { what: 'enroll' },
    )
  }

  async #renew(): Promise<void> {
    if (this.#owner === undefined) return
    try {
      const renewed = await this.#database.write(
        (session) => session.ownership.renew(this.#id, this.#runtime.wallMs() + this.leaseMs),
        { what: 'renew leases', urgent: true },
      )
      if (!renewed && this.#owner !== undefined) {
        await this.#enroll()
        for (const listener of this.#onEvicted) listener()
      }
    } catch {
      // The next beat tries again; meanwhile others may take over, and the epoch keeps that harmless.
    }
  }
}
