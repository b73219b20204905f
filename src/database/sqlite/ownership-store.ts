import { OnefoldError } from '../../errors.ts'
import type { Lease, LeaseRecord, Owner, OwnershipStore } from '../../ownership/ownership-store.ts'
import type { ProcessReference } from '../../runtime.ts'
import type { Statements } from './statements.ts'

interface OwnerRow {
  readonly owner: number
  readonly pid: number
  readonly host: string
  readonly started_at: string
  readonly until_ms: number
}

const ownerOf = (row: OwnerRow): Owner => ({
  id: BigInt(row.owner),
  process: { pid: row.pid, host: row.host, startedAt: row.started_at },
  untilMs: row.until_ms,
})

export class SqliteOwnershipStore implements OwnershipStore {
  readonly #statements: Statements

  constructor(statements: Statements) {
    this.#statements = statements
  }

  enroll(process: ProcessReference, times: { untilMs: number }): bigint {
    const { lastInsertRowid } = this.#statements
      .sql('insert into {p}owner (pid, host, started_at, until_ms) values (?, ?, ?, ?)')
      .run(process.pid, process.host, process.startedAt, times.untilMs)
    return BigInt(lastInsertRowid)
  }

  renew(owner: bigint, untilMs: number): boolean {
    const renewed = this.#statements.sql('update {p}owner set until_ms = ? where owner = ?').run(untilMs, owner).changes === 1
    if (renewed) this.#statements.sql('update {p}lease set until_ms = ? where owner = ?').run(untilMs, owner)
    return renewed
  }

  leave(owner: bigint): void {
    this.#statements.sql('update {p}lease set owner = null where owner = ?').run(owner)
    this.#statements.sql('delete from {p}member where owner = ?').run(owner)
    this.#statements.sql('delete from {p}owner where owner = ?').run(owner)
  }

  join(owner: bigint, memberships: readonly string[]): void {
    for (const membership of memberships)
      this.#statements
        .sql('insert into {p}member (membership, owner) values (?, ?) on conflict do nothing')
        .run(membership, owner)
  }

  resign(owner: bigint, memberships: readonly string[]): void {
    for (const membership of memberships)
      this.#statements.sql('delete from {p}member where membership = ? and owner = ?').run(membership, owner)
  }

  evict(owners: readonly bigint[]): void {
    for (const owner of owners) {
      this.#statements.sql('delete from {p}member where owner = ?').run(owner)
      this.#statements.sql('delete from {p}owner where owner = ?').run(owner)
    }
  }

  take(
    name: string,
    owner: bigint,
    options: { nowMs: number; untilMs: number; gone: readonly bigint[]; force?: boolean },
  ): Lease | undefined {
    const row = this.#statements
      .sql(
        `insert into {p}lease as l (name, epoch, owner, until_ms) values (?1, 1, ?2, ?3)
         on conflict do update set
           epoch = l.epoch + 1, owner = excluded.owner, until_ms = excluded.until_ms,
           crashes = l.crashes + (l.owner is not null)
         where l.owner is null or l.until_ms < ?4 or l.owner not in (select owner from {p}owner)
           or instr(?5, ',' || l.owner || ',') > 0 or ?6
         returning epoch, crashes`,
      )
      .get<{ epoch: number; crashes: number }>(
        name,
        owner,
        options.untilMs,
        options.nowMs,
        `,${options.gone.join(',')},`,
        options.force === true ? 1 : 0,
      )
    return row === undefined ? undefined : { name, epoch: BigInt(row.epoch), crashes: row.crashes }
  }

  release(lease: Pick<Lease, 'name' | 'epoch'>): void {
    this.#statements.sql('update {p}lease set owner = null where name = ? and epoch = ?').run(lease.name, lease.epoch)
  }

  trust(lease: Lease): void {
    this.#statements.sql('update {p}lease set crashes = 0 where name = ? and epoch = ?').run(lease.name, lease.epoch)
  }

  guard(lease: Lease): void {
    const { changes } = this.#statements
      .sql('update {p}lease set commits = commits + 1 where name = ? and epoch = ? and owner is not null')
      .run(lease.name, lease.epoch)
    if (changes !== 1) {
      throw new OnefoldError(
        'FENCED',
        `${lease.name}: epoch ${lease.epoch} is no longer the newest; another process has taken over, and this commit was refused.`,
        {
          retry: 'never',
          details: { lease: lease.name, epoch: Number(lease.epoch) },
        },
      )
    }
  }

  owners(): Owner[] {
    return this.#statements
      .sql('select owner, pid, host, started_at, until_ms from {p}owner order by owner')
      .all<OwnerRow>()
      .map(ownerOf)
  }

  members(membership: string): bigint[] {
    return this.#statements
      .sql('select owner from {p}member where membership = ? order by owner')
      .all<{ owner: number }>(membership)
      .map((row) => BigInt(row.owner))
  }

  leases(prefix: string): LeaseRecord[] {
    return this.#statements
      .sql('select name, epoch, owner from {p}lease where substr(name, 1, length(?1)) = ?1 order by name')
      .all<{ name: string; epoch: number; owner: number | null }>(prefix)
      .map((row) => ({ name: row.name, epoch: BigInt(row.epoch), owner: row.owner === null ? undefined : BigInt(row.owner) }))
  }
}
