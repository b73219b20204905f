import { OnefoldError } from '../../errors.ts'
import type { Lease, LeaseRecord, Owner, OwnershipStore } from '../../ownership/ownership-store.ts'
import type { ProcessReference } from '../../runtime.ts'
import type { SqlRow } from './client.ts'
import type { StoreContext } from './known.ts'
import { guardSql } from './open-statements.ts'
import { bigintOf, numberOf, textOf } from './sql.ts'

const ownerOf = (row: SqlRow): Owner => ({
  id: bigintOf(row.owner),
  process: { pid: numberOf(row.pid), host: textOf(row.host), startedAt: textOf(row.started_at) },
  untilMs: numberOf(row.until_ms),
})

/**
 * A lease lasts as long as its owner's one heartbeat row says, so a heartbeat never waits for a transaction that is under
 * way: those lock the lease's row, until they commit.
 */
export class PostgresOwnershipStore implements OwnershipStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async enroll(process: ProcessReference, { untilMs }: { nowMs: number; untilMs: number }): Promise<bigint> {
    const row = await this.#context.sql.row(
      'insert into {s}.owner (pid, host, started_at, until_ms) values ($1::int, $2, $3, $4::bigint) returning owner',
      process.pid,
      process.host,
      process.startedAt,
      Math.floor(untilMs),
    )
    return bigintOf(row?.owner)
  }

  async renew(owner: bigint, untilMs: number): Promise<boolean> {
    const renewed = await this.#context.sql.count(
      'update {s}.owner set until_ms = $2::bigint where owner = $1::bigint returning 1',
      owner.toString(),
      Math.floor(untilMs),
    )
    return renewed === 1
  }

  async leave(owner: bigint): Promise<void> {
    // In the order in which everybody locks leases.
    await this.#context.sql.rows(
      `with mine as (select name from {s}.lease where owner = $1::bigint order by name for update)
       update {s}.lease l set owner = null from mine where l.name = mine.name`,
      owner.toString(),
    )
    await this.evict([owner])
  }

  async join(owner: bigint, memberships: readonly string[]): Promise<void> {
    await this.#context.sql.rows(
      `insert into {s}.member (membership, owner) select m, $1::bigint from json_array_elements_text($2::json) m
       on conflict do nothing`,
      owner.toString(),
      JSON.stringify(memberships.toSorted()),
    )
  }

  async resign(owner: bigint, memberships: readonly string[]): Promise<void> {
    await this.#context.sql.rows(
      'delete from {s}.member where owner = $1::bigint and membership in (select json_array_elements_text($2::json))',
      owner.toString(),
      JSON.stringify(memberships),
    )
  }

  async evict(owners: readonly bigint[]): Promise<void> {
    if (owners.length === 0) return
    const list = JSON.stringify(owners.map(String))
    const those = 'owner in (select json_array_elements_text($1::json)::bigint)'
    await this.#context.sql.rows(`delete from {s}.member where ${those}`, list)
    await this.#context.sql.rows(`delete from {s}.owner where ${those}`, list)
  }

  /**
   * A lease whose row is locked is in use this very moment, by a transaction that may yet commit: it is not waited for, and
   * tried again at the next look. By force it is: nobody looks again then. A server ends the transaction of a client that is frozen
   * in it.
   */
  async take(
    name: string,
    owner: bigint,
    options: { nowMs: number; untilMs: number; gone: readonly bigint[]; force?: boolean },
  ): Promise<Lease | undefined> {
    const { sql } = this.#context
    const made = await sql.row(
      'insert into {s}.lease (name, epoch, owner) values ($1, 1, $2::bigint) on conflict do nothing returning epoch, crashes',
      name,
      owner.toString(),
    )
    if (made !== undefined) return { name, epoch: 1n, crashes: 0 }
    const row = await sql.row(
      `update {s}.lease l set epoch = l.epoch + 1, owner = $2::bigint, crashes = l.crashes + (l.owner is not null)::int
       from (
         select k.name from {s}.lease k left join {s}.owner o on o.owner = k.owner
         where k.name = $1 and (k.owner is null or o.owner is null or o.until_ms < $3::bigint or $5::boolean
           or k.owner in (select json_array_elements_text($4::json)::bigint))
         for update of k ${options.force === true ? '' : 'skip locked'}) f
       where l.name = f.name returning l.epoch, l.crashes`,
      name,
      owner.toString(),
      Math.floor(options.nowMs),
      JSON.stringify(options.gone.map(String)),
      options.force === true,
    )
    return row === undefined ? undefined : { name, epoch: bigintOf(row.epoch), crashes: numberOf(row.crashes) }
  }

  async release({ name, epoch }: Pick<Lease, 'name' | 'epoch'>): Promise<void> {
    await this.#context.sql.rows(
      'update {s}.lease set owner = null where name = $1 and epoch = $2::bigint',
      name,
      epoch.toString(),
    )
  }

  async trust({ name, epoch }: Lease): Promise<void> {
    await this.#context.sql.rows(
      'update {s}.lease set crashes = 0 where name = $1 and epoch = $2::bigint',
      name,
      epoch.toString(),
    )
  }

  /** The row stays locked until COMMIT, so nobody takes over in between. */
  async guard(lease: Lease): Promise<void> {
    const { sql, open } = this.#context
    const { name, epoch } = lease
    const held = await (open?.guard(lease) ?? sql.rows(guardSql, name, epoch.toString()))
    if (held.length > 0) return
    throw new OnefoldError(
      'FENCED',
      `${name}: epoch ${epoch} is no longer the newest; another process has taken over, and this commit was refused.`,
      { retry: 'never', details: { lease: name, epoch: Number(epoch) } },
    )
  }

  async owners(): Promise<Owner[]> {
    return (await this.#context.sql.rows('select owner, pid, host, started_at, until_ms from {s}.owner order by owner')).map(
      ownerOf,
    )
  }

  async members(membership: string): Promise<bigint[]> {
    const rows = await this.#context.sql.rows('select owner from {s}.member where membership = $1 order by owner', membership)
    return rows.map((row) => bigintOf(row.owner))
  }

  async leases(prefix: string): Promise<LeaseRecord[]> {
    const rows = await this.#context.sql.rows(
      'select name, epoch, owner from {s}.lease where starts_with(name, $1) order by name',
      prefix,
    )
    return rows.map((row) => ({
      name: textOf(row.name),
      epoch: bigintOf(row.epoch),
      owner: row.owner === null ? undefined : bigintOf(row.owner),
    }))
  }
}
