import type { Awaitable } from '../message.ts'
import type { ProcessReference } from '../runtime.ts'

/** The right to commit for one partition, relay or schedule. The epoch only grows; the highest one is the only one. */
export interface Lease {
  readonly name: string
  readonly epoch: bigint
  /**
   * How many owners ended uncleanly since the last `trust`. From 2 on something in the next messages is suspected of
   * killing its process.
   */
  readonly crashes: number
}

/** One process incarnation that has the database open to consume. */
export interface Owner {
  readonly id: bigint
  readonly process: ProcessReference
  readonly untilMs: number
}

export interface LeaseRecord {
  readonly name: string
  readonly epoch: bigint
  readonly owner: bigint | undefined
}

export interface OwnershipStore {
  enroll(process: ProcessReference, times: { nowMs: number; untilMs: number }): Awaitable<bigint>
  /** Extends the owner and all its leases in one statement. False: the owner was evicted and holds nothing any more. */
  renew(owner: bigint, untilMs: number): Awaitable<boolean>
  /** Leaves every membership and releases every lease cleanly. */
  leave(owner: bigint): Awaitable<void>
  /** Says which memberships (`topic/group`) this owner takes part in. */
  join(owner: bigint, memberships: readonly string[]): Awaitable<void>
  resign(owner: bigint, memberships: readonly string[]): Awaitable<void>
  /** Removes owners known to be gone, so that lists stay short. Their leases stay marked as uncleanly left. */
  evict(owners: readonly bigint[]): Awaitable<void>
  /**
   * Takes a lease that nobody holds, that has expired at `nowMs`, or whose owner is among `gone` (or whoever holds it,
   * with `force`: an outside broker has reassigned the partition). The epoch rises by one in the same statement.
   */
  take(
    name: string,
    owner: bigint,
    options: { nowMs: number; untilMs: number; gone: readonly bigint[]; force?: boolean },
  ): Awaitable<Lease | undefined>
  release(lease: Pick<Lease, 'name' | 'epoch'>): Awaitable<void>
  /** The messages that were under way when earlier owners ended are done: the suspicion is over. */
  trust(lease: Lease): Awaitable<void>
  /**
   * The fence: a guarded update that must be part of every commit made under the lease.
   * @throws OnefoldError `FENCED` when the epoch is no longer the newest; the transaction must then roll back.
   */
  guard(lease: Lease): Awaitable<void>
  owners(): Awaitable<readonly Owner[]>
  /** Who takes part, by their ids. */
  members(membership: string): Awaitable<readonly bigint[]>
  leases(prefix: string): Awaitable<readonly LeaseRecord[]>
}
