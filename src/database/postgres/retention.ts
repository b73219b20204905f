import { rangeRows } from '../window-rules.ts'
import type { Access } from './maintenance-access.ts'
import { numberOf } from './sql.ts'

/** Null without any group: nobody has applied anything, and all is kept. A group that has not begun has applied nothing. */
const slowest = `(
  select min(coalesce(c."offset", 0)) from {s}.subscription s
  left join {s}.checkpoint c on c.subscription = s.subscription and c.partition = p.number::text where s.topic = t.name)`

/** A partition at whose tail something has been applied by every group and is older than the topic keeps messages. */
export async function retirable({ context: { sql } }: Access, nowMs: number): Promise<number | undefined> {
  const row = await sql.row(
    `select p.partition from {s}.partition p join {s}.topic t using (topic)
     cross join lateral (
       select o.last, o.messages from {s}.log_position o where o.partition = p.partition and o.last > p.tail order by o.last limit 1) o
     where o.last <= ${slowest}
       and not exists (select 1 from {s}.log l where l.message = any (o.messages) and l.time_ms >= $1::bigint - t.retention_ms)
     order by p.partition limit 1`,
    Math.floor(nowMs),
  )
  return row === undefined ? undefined : numberOf(row.partition)
}

/**
 * Removes a small range at a partition's tail, by whole places of `log_position`: one that is partly needed stays.
 *
 * The lock on the groups lets nobody declare one, or remove and declare it again, between the look at the slowest and the commit:
 * a group comes before, and is among them, or after, and finds what is left. It is not waited for, because others would wait
 * behind us: whoever declares or counts something about a group at this moment has us try later. The lock is its own rival, too, so
 * that no two processes remove at once. Checkpoints only go up, so nobody who may still apply a message of the range reads
 * it; one statement that reads further back sees the places and their messages, or neither.
 *
 * True: there may be more.
 */
export async function retire({ context: { sql } }: Access, partition: number, nowMs: number): Promise<boolean> {
  await sql.rows('lock table {s}.subscription in share row exclusive mode nowait')
  const removed = await sql.count(
    `with limits as (
       select p.partition, p.tail, ${slowest} as slowest, $2::bigint - t.retention_ms as before_ms
       from {s}.partition p join {s}.topic t using (topic) where p.partition = $1::int),
     oldest as (
       select o.last, o.messages, x.before_ms, sum(cardinality(o.messages)) over (order by o.last) as total
       from limits x cross join lateral (
         select last, messages from {s}.log_position o
         where o.partition = x.partition and o.last > x.tail and o.last <= x.slowest order by o.last limit ${rangeRows}) o),
     aged as (
       select o.last, bool_and(not exists (
         select 1 from {s}.log l where l.message = any (o.messages) and l.time_ms >= o.before_ms)) over (order by o.last) as old
       from oldest o where o.total - cardinality(o.messages) < ${rangeRows}),
     places as (
       delete from {s}.log_position where partition = $1::int and last = any (array(select last from aged where old))
       returning last, messages),
     gone as (
       delete from {s}.log where message = any (array(select unnest(messages) from places)))
     update {s}.partition set tail = greatest(tail, (select max(last) from places))
     where partition = $1::int and exists (select 1 from places) returning 1`,
    partition,
    Math.floor(nowMs),
  )
  return removed === 1
}
