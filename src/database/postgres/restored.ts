import type { Runtime } from '../../runtime.ts'
import type { PostgresClient } from './client.ts'
import { Sql } from './sql.ts'

/**
 * Transactions are numbered by the server. In tables that were restored into another one (pg_dump), the numbers kept with messages and
 * partitions may lie in its future: new messages would be taken for seen, and old ones for new.
 */
const fromAnotherServer = `exists (select from {s}.partition where pg_snapshot_xmax(seen) > pg_snapshot_xmax(pg_current_snapshot()))
  or exists (select from {s}.partition p cross join lateral (
    select from {s}.log l where l.partition = p.partition and l.xid >= pg_snapshot_xmax(pg_current_snapshot()) order by l.xid desc limit 1) later)`

/**
 * Makes restored tables this server's: every message gets its offset now, and nothing refers to the old server's numbers any more.
 * Everybody who would write messages waits meanwhile; nobody who has the right tables open does it twice. It is a new incarnation.
 * Answers whether there was anything to do.
 */
export async function adoptRestored(client: PostgresClient, schema: string, runtime: Runtime): Promise<boolean> {
  const look = new Sql(client.execute, schema)
  const looked = await look.row(`select (${fromAnotherServer}) as restored`)
  if (looked?.restored !== true) return false
  const connection = await client.connect()
  let broken = true
  try {
    await connection.begin([], 'select 1')
    const sql = new Sql(connection.execute, schema)
    await sql.rows('lock table {s}.log, {s}.partition in share row exclusive mode')
    const still = await sql.row(`select (${fromAnotherServer}) as restored`)
    if (still?.restored === true) {
      await sql.rows(
        `with fresh as (
           select l.partition, l.message, row_number() over (partition by l.partition order by l.message) as n from {s}.log l
           where not exists (select from {s}.log_position o where o.partition = l.partition and l.message = any (o.messages))),
         placed as (
           insert into {s}.log_position (partition, last, first, messages)
           select f.partition, p.head + max(f.n), p.head + min(f.n), array_agg(f.message order by f.n)
           from fresh f join {s}.partition p using (partition) group by f.partition, p.head, (f.n - 1) / 500)
         update {s}.partition p set seen = pg_current_snapshot(),
           head = p.head + (select count(*) from fresh f where f.partition = p.partition)`,
      )
      await sql.rows("update {s}.log set xid = '3' where xid <> '3'")
      await sql.rows("update {s}.meta set value = $1 where name = 'incarnation'", runtime.uuid())
    }
    broken = !(await connection.commit())
    return still?.restored === true
  } finally {
    if (broken)
      await connection.execute('rollback').then(
        () => (broken = false),
        () => undefined,
      )
    connection.release(broken)
  }
}
