import type { SqlParameter } from './client.ts'
import type { Sql } from './sql.ts'

/**
 * Holds up the owners of partitions, and whoever else acts on what is kept for them, until this transaction ends: for those who
 * change from outside what an owner decides by. Before anything is read, for only what is read after the lock is current; and by
 * name, so that two who lock several wait for each other and never in a circle. `names` is a subquery that answers lease names.
 */
export async function lockLeases(sql: Sql, names: string, ...parameters: readonly SqlParameter[]): Promise<void> {
  await sql.rows(`select 1 from {s}.lease where name in (${names}) order by name for update`, ...parameters)
}

/** The lease under which a row of `parked` or `attention` (alias `k`) was written; needs `subscription` joined as `s`. */
export const leaseName = "s.topic || '/' || s.grp || '/' || k.partition"
