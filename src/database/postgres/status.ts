import type { DatabaseStatus, GroupStatus, TopicStatus } from '../../inspect/status.ts'
import { parseJson } from '../../parse-json.ts'
import type { Runtime } from '../../runtime.ts'
import type { PostgresStores } from './session.ts'
import { numberOf, numberOrNull, textOf, textOrUndefined } from './sql.ts'
import type { WindowRow } from './window-status.ts'
import { windowStatus, windowsSql } from './window-status.ts'

/** Committed messages of partition `p` that have no offset yet: exactly those that its next offsets go to. */
const unplaced = `l.partition = p.partition and (l.xid >= pg_snapshot_xmax(p.seen) or l.xid = any (array(select pg_snapshot_xip(p.seen))))`

/** `waiting`: messages without an offset. */
const partitionsSql = `
  select t.name as topic, t.keyed, t.id_reuse, p.number, p.head, p.tail, w.waiting,
    t.duplicates + (select coalesce(sum(d.count), 0) from {s}.duplicate d where d.topic = t.topic) as duplicates
  from {s}.topic t join {s}.partition p using (topic)
  cross join lateral (select count(*) as waiting from {s}.log l where ${unplaced}) w
  order by t.name, p.number`

const groupsSql = `
  select s.subscription, s.topic, s.grp, s.semantics, s.fenced,
    (select coalesce(sum(c.applied), 0) from {s}.checkpoint c where c.subscription = s.subscription) as applied,
    (select coalesce(sum(c.suppressed), 0) from {s}.checkpoint c where c.subscription = s.subscription) as suppressed,
    k.parked, k.attention, k.oldest_ms
  from {s}.subscription s cross join lateral (
    select count(*) filter (where state <> 'attention') as parked, count(*) filter (where state = 'attention') as attention,
      min(time_ms) as oldest_ms
    from {s}.parked where subscription = s.subscription) k
  order by s.topic, s.grp`

/** Known to the log, or (lag is null) seen only through a broker elsewhere. */
const placesSql = `
  select s.subscription, p.number::text as partition, c."offset", p.head - coalesce(c."offset", 0) as lag, l.epoch, l.owner,
    case when p.head > coalesce(c."offset", 0) then (
        select g.time_ms from {s}.log_position o join {s}.log g
          on g.message = o.messages[greatest(coalesce(c."offset", 0) + 1, o.first) - o.first + 1]
        where o.partition = p.partition and o.last > coalesce(c."offset", 0) order by o.last limit 1)
      else (select l.time_ms from {s}.log l where ${unplaced} order by l.xid, l.message limit 1) end as oldest_ms
  from {s}.subscription s join {s}.topic t on t.name = s.topic join {s}.partition p on p.topic = t.topic
  left join {s}.checkpoint c on c.subscription = s.subscription and c.partition = p.number::text
  left join {s}.lease l on l.name = s.topic || '/' || s.grp || '/' || p.number
  where not exists (select 1 from {s}.checkpoint x where x.subscription = s.subscription and x."offset" is null)
  union all
  select s.subscription, c.partition, c."offset", null, l.epoch, l.owner, null
  from {s}.subscription s join {s}.checkpoint c on c.subscription = s.subscription
  left join {s}.lease l on l.name = s.topic || '/' || s.grp || '/' || c.partition
  where exists (select 1 from {s}.checkpoint x where x.subscription = s.subscription and x."offset" is null)
    or not exists (select 1 from {s}.topic t where t.name = s.topic)
  order by 1, 2`

const all = (sql: string): string => `(select coalesce(json_agg(r), '[]')::text from (${sql}) r)`

/** One statement: what it tells of is one moment. */
const statusSql = `
  select (select coalesce(json_object_agg(name, value), '{}')::text from {s}.meta) as meta,
    (select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = '{s}'::regnamespace and relkind = 'r') as bytes,
    ${all(partitionsSql)} as partitions,
    ${all(groupsSql)} as groups,
    ${all(placesSql)} as places,
    ${all('select o.owner, o.pid, o.host, o.started_at, o.until_ms, (select count(*) from {s}.lease l where l.owner = o.owner) as leases from {s}.owner o order by o.owner')} as owners,
    (select count(*) from {s}.schedule) as scheduled,
    (select count(*) from {s}.outbox where refused_ms is null) as unsent,
    (select min(appended_ms) from {s}.outbox where refused_ms is null) as oldest_unsent_ms,
    (select count(*) from {s}.outbox where refused_ms is not null) as refused,
    ${all(windowsSql)} as windows`

interface PartitionRow {
  readonly topic: string
  readonly keyed: boolean | null
  readonly id_reuse: 'error' | 'ignore'
  readonly number: number
  readonly head: number
  readonly tail: number
  readonly waiting: number
  readonly duplicates: number
}
interface GroupRow {
  readonly subscription: number
  readonly topic: string
  readonly grp: string
  readonly semantics: string
  readonly fenced: number
  readonly applied: number
  readonly suppressed: number
  readonly parked: number
  readonly attention: number
  readonly oldest_ms: number | null
}
interface PlaceRow {
  readonly subscription: number
  readonly partition: string
  readonly offset: number | null
  readonly lag: number | null
  readonly epoch: number | null
  readonly owner: number | null
  readonly oldest_ms: number | null
}
interface OwnerRow {
  readonly owner: number
  readonly pid: number
  readonly host: string
  readonly started_at: string
  readonly until_ms: number
  readonly leases: number
}

/**
 * Constant work per topic, group and partition, however many messages there are; but those that have no offset yet, because no
 * group has come to them, are counted.
 */
export async function readStatus(reader: PostgresStores, runtime: Runtime, where: string): Promise<DatabaseStatus> {
  const nowMs = runtime.wallMs()
  const row = (await reader.context.sql.row(statusSql)) ?? {}
  const rows = <R>(column: string): readonly R[] => parseJson(textOf(row[column])) as R[]
  const meta = parseJson(textOf(row.meta)) as Readonly<Record<string, string>>
  const partitions = rows<PartitionRow>('partitions')
  const places = rows<PlaceRow>('places')
  const oldestUnsentMs = numberOrNull(row.oldest_unsent_ms)
  return {
    database: {
      file: where,
      incarnation: textOrUndefined(meta.incarnation) ?? '',
      schemaVersion: numberOf(meta.schema_version ?? 0),
      bytes: numberOf(row.bytes),
      walBytes: 0,
      writeLockHolder: null,
    },
    topics: [...Map.groupBy(partitions, ({ topic }) => topic).values()].map(topicStatus),
    groups: rows<GroupRow>('groups').map((group) =>
      groupStatus(
        group,
        places.filter(({ subscription }) => subscription === group.subscription),
        partitions.filter(({ topic }) => topic === group.topic),
        nowMs,
      ),
    ),
    owners: rows<OwnerRow>('owners').map(({ owner, pid, host, started_at: startedAt, until_ms: untilMs, leases }) => ({
      owner,
      pid,
      host,
      alive: runtime.isAlive({ pid, host, startedAt }),
      leases,
      untilMs,
    })),
    scheduled: numberOf(row.scheduled),
    schedules: (await reader.cron.list()).map((schedule) => ({ ...schedule, nextMs: null })),
    outbox: {
      unsent: numberOf(row.unsent),
      oldestAgeMs: oldestUnsentMs === null ? null : Math.max(0, nowMs - oldestUnsentMs),
      refused: numberOf(row.refused),
    },
    dedupWindows: rows<WindowRow>('windows').map((window) =>
      windowStatus(window, { configured: configuredOf(meta), nowMs, runningMs: numberOf(meta.running_ms ?? 0) }),
    ),
  }
}

function configuredOf({ window_ms: ms, window_max_ids: maxIds }: Readonly<Record<string, string>>) {
  return ms === undefined || maxIds === undefined ? undefined : { ms: numberOf(ms), maxIds: numberOf(maxIds) }
}

/** Offsets go on to where they will be once all that is committed has got one. */
function topicStatus(partitions: readonly PartitionRow[]): TopicStatus {
  const first = partitions[0] as PartitionRow
  return {
    name: first.topic,
    messages: partitions.reduce((sum, { head, waiting, tail }) => sum + head + waiting - tail, 0),
    accepted: partitions.reduce((sum, { head, waiting }) => sum + head + waiting, 0),
    duplicates: first.duplicates,
    keyed: first.keyed,
    idReuse: first.id_reuse,
    partitions: partitions.map(({ number, head, tail, waiting }) => ({
      partition: String(number),
      firstOffset: String(tail + 1),
      lastOffset: String(head + waiting),
    })),
  }
}

function groupStatus(
  group: GroupRow,
  places: readonly PlaceRow[],
  partitions: readonly PartitionRow[],
  nowMs: number,
): GroupStatus {
  const waiting = new Map(partitions.map((partition) => [String(partition.number), partition.waiting]))
  const inLog = places.filter(({ lag }) => lag !== null)
  const oldest = [group, ...places].flatMap(({ oldest_ms }) => (oldest_ms === null ? [] : [oldest_ms]))
  return {
    topic: group.topic,
    group: group.grp,
    semantics: group.semantics,
    applied: group.applied,
    suppressed: group.suppressed,
    lag:
      inLog.length === 0 ? null : inLog.reduce((sum, { lag, partition }) => sum + (lag ?? 0) + (waiting.get(partition) ?? 0), 0),
    parked: group.parked,
    attention: group.attention,
    fenced: group.fenced,
    oldestAgeMs: oldest.length === 0 ? null : nowMs - Math.min(...oldest),
    partitions: places.map(({ partition, offset, epoch, owner }) => ({
      partition,
      offset: offset === null ? null : String(offset),
      epoch: String(epoch ?? 0),
      owner,
    })),
  }
}
