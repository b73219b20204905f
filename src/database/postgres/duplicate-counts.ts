import { rangeRows } from '../window-rules.ts'
import type { Access } from './maintenance-access.ts'

export async function hasDuplicates({ context: { sql } }: Access): Promise<boolean> {
  return (await sql.row('select 1 from {s}.duplicate limit 1')) !== undefined
}

/**
 * Adds up some of what was counted, of one topic: what one statement takes away it adds, and what another has taken away it
 * does not see. True: there may be more.
 */
export async function addUpDuplicates({ context: { sql } }: Access): Promise<boolean> {
  const added = await sql.count(
    `with gone as (
       delete from {s}.duplicate where ctid = any (array(
         select ctid from {s}.duplicate where topic = (select topic from {s}.duplicate limit 1) limit ${rangeRows} for update skip locked))
       returning topic, count)
     update {s}.topic t set duplicates = t.duplicates + s.count
     from (select topic, sum(count)::bigint as count from gone group by topic) s where t.topic = s.topic returning 1`,
  )
  return added > 0
}
