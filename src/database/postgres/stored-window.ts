import type { StoredWindow } from '../window-rules.ts'
import type { Access } from './maintenance-access.ts'
import { numberOf, textOf } from './sql.ts'

/** What whoever last looked after the schema had configured; undefined as long as nobody has. */
export async function storedWindow({ context: { sql } }: Access): Promise<StoredWindow | undefined> {
  const rows = await sql.rows("select name, value from {s}.meta where name in ('window_ms', 'window_max_ids')")
  const stored = new Map(rows.map((row) => [textOf(row.name), numberOf(row.value)]))
  const ms = stored.get('window_ms')
  const maxIds = stored.get('window_max_ids')
  return ms === undefined || maxIds === undefined ? undefined : { ms, maxIds }
}

export async function storeWindow({ context: { sql } }: Access, window: StoredWindow): Promise<void> {
  // In the order of names, as everybody writes them: two that do meet in the first.
  await sql.rows(
    `insert into {s}.meta (name, value) values ('window_max_ids', $1::bigint::text), ('window_ms', $2::bigint::text)
     on conflict (name) do update set value = excluded.value`,
    window.maxIds,
    window.ms,
  )
}
