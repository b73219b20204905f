import { statSync } from 'node:fs'
import type { DatabaseStatus, GroupStatus, TopicStatus } from '../../inspect/status.ts'
import type { Runtime } from '../../runtime.ts'
import { writeLockHolder } from './lock-holder.ts'
import { walBytes } from './maintenance.ts'
import { movedMark } from './moved.ts'
import { migrations, offsetSpan } from './schema.ts'
import type { SqliteStores } from './session.ts'
import { readWindows } from './window-status.ts'

/** Constant work per topic, group and partition, however many messages the file holds. */
export function readStatus(stores: SqliteStores, runtime: Runtime, file: string): DatabaseStatus {
  const { statements } = stores
  const nowMs = runtime.wallMs()
  const leases = new Map<string, { epoch: number; owner: number | null }>()
  for (const lease of statements
    .sql('select name, epoch, owner from {p}lease')
    .all<{ name: string; epoch: number; owner: number | null }>())
    leases.set(lease.name, lease)
  const outbox = statements
    .sql(
      `select count(*) filter (where refused_ms is null) as unsent, count(refused_ms) as refused,
         min(appended_ms) filter (where refused_ms is null) as oldest from {p}outbox`,
    )
    .get<{ unsent: number; refused: number; oldest: number | null }>()
  const moved = movedMark(statements)
  return {
    database: {
      file,
      incarnation: statements.sql("select value from {p}meta where name = 'incarnation'").get<{ value: string }>()?.value ?? '',
      schemaVersion: migrations.length,
      bytes: sizeOf(file),
      walBytes: walBytes(file),
      writeLockHolder: writeLockHolder(file),
      ...(moved === undefined ? {} : { movedTo: moved.to }),
    },
    topics: stores.topics.names().map((name) => topicStatus(stores, name)),
    groups: statements
      .sql('select subscription, topic, grp, semantics, fenced from {p}subscription order by topic, grp')
      .all<SubscriptionRow>()
      .map((row) => groupStatus(stores, row, leases, nowMs)),
    owners: stores.ownership.owners().map((owner) => ({
      owner: Number(owner.id),
      pid: owner.process.pid,
      host: owner.process.host,
      alive: runtime.isAlive(owner.process),
      leases: [...leases.values()].filter((lease) => lease.owner === Number(owner.id)).length,
      untilMs: owner.untilMs,
    })),
    scheduled: statements.sql('select count(*) as n from {p}schedule').get<{ n: number }>()?.n ?? 0,
    schedules: stores.cron.list().map((schedule) => ({ ...schedule, nextMs: null })),
    outbox: {
      unsent: outbox?.unsent ?? 0,
      oldestAgeMs: outbox?.oldest == null ? null : Math.max(0, nowMs - outbox.oldest),
      refused: outbox?.refused ?? 0,
    },
    dedupWindows: readWindows(stores, nowMs),
  }
}

interface SubscriptionRow {
  readonly subscription: number
  readonly topic: string
  readonly grp: string
  readonly semantics: string
  readonly fenced: number
}

function topicStatus({ statements, topics }: SqliteStores, name: string): TopicStatus {
  const record = topics.get(name)
  const partitions = statements
    .sql('select number, head, tail from {p}partition p join {p}topic t using (topic) where t.name = ? order by number')
    .all<{ number: number; head: number; tail: number }>(name)
  return {
    name,
    messages: partitions.reduce((sum, row) => sum + row.head - row.tail, 0),
    accepted: partitions.reduce((sum, row) => sum + row.head, 0),
    duplicates:
      statements.sql('select duplicates from {p}topic where name = ?').get<{ duplicates: number }>(name)?.duplicates ?? 0,
    keyed: record?.keyed ?? null,
    idReuse: record?.idReuse ?? 'error',
    partitions: partitions.map((row) => ({
      partition: String(row.number),
      firstOffset: String(row.tail + 1),
      lastOffset: String(row.head),
    })),
  }
}

function groupStatus(
  { statements }: SqliteStores,
  row: SubscriptionRow,
  leases: ReadonlyMap<string, { epoch: number; owner: number | null }>,
  nowMs: number,
): GroupStatus {
  const totals = statements
    .sql(
      'select coalesce(sum(applied), 0) as applied, coalesce(sum(suppressed), 0) as suppressed from {p}checkpoint where subscription = ?',
    )
    .get<{ applied: number; suppressed: number }>(row.subscription)
  const parked = statements
    .sql(
      "select count(*) filter (where state <> 'attention') as parked, count(*) filter (where state = 'attention') as attention, min(time_ms) as oldest from {p}parked where subscription = ?",
    )
    .get<{ parked: number; attention: number; oldest: number | null }>(row.subscription)
  // Known to the log, or seen only through a broker elsewhere.
  const inLog = statements
    .sql(
      `select p.partition as global, cast(p.number as text) as partition, p.head, c."offset" from {p}topic t join {p}partition p using (topic)
       left join {p}checkpoint c on c.subscription = ?1 and c.partition = cast(p.number as text)
       where t.name = ?2 and not exists (select 1 from {p}checkpoint x where x.subscription = ?1 and x."offset" is null) order by p.number`,
    )
    .all<{ global: number; partition: string; head: number; offset: number | null }>(row.subscription, row.topic)
  const elsewhere =
    inLog.length > 0
      ? []
      : statements
          .sql('select partition, "offset" from {p}checkpoint where subscription = ? order by partition')
          .all<{ partition: string; offset: number | null }>(row.subscription)
  let oldest = parked?.oldest ?? null
  let lag = 0
  for (const entry of inLog) {
    const offset = entry.offset ?? 0
    lag += entry.head - offset
    if (entry.head === offset) continue
    const first = statements
      .sql('select time_ms from {p}log where position > ? and position < ? order by position limit 1')
      .get<{ time_ms: number }>(entry.global * offsetSpan + offset, (entry.global + 1) * offsetSpan)
    if (first !== undefined && (oldest === null || first.time_ms < oldest)) oldest = first.time_ms
  }
  return {
    topic: row.topic,
    group: row.grp,
    semantics: row.semantics,
    applied: totals?.applied ?? 0,
    suppressed: totals?.suppressed ?? 0,
    lag: inLog.length > 0 ? lag : null,
    parked: parked?.parked ?? 0,
    attention: parked?.attention ?? 0,
    fenced: row.fenced,
    oldestAgeMs: oldest === null ? null : nowMs - oldest,
    partitions: [...inLog, ...elsewhere].map((entry) => {
      const lease = leases.get(`${row.topic}/${row.grp}/${entry.partition}`)
      return {
        partition: entry.partition,
        offset: entry.offset === null ? null : String(entry.offset),
        epoch: String(lease?.epoch ?? 0),
        owner: lease?.owner ?? null,
      }
    }),
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
