import { SqliteSession } from '../../database/sqlite/session.ts'
import { expire } from '../../database/sqlite/window-maintenance.ts'
import type { SqliteWorld } from './sqlite-world.ts'
import { ProcessConnection, prefix } from './sqlite-world.ts'
import type { World } from './world.ts'
import { nobody } from './world.ts'

/**
 * All that a window knows is forgotten, as it is after a week: a topic's where no group is named, else the group's. By the
 * store's own rules, in a commit of whoever keeps house. False: somebody's transaction is open.
 */
export function forget(sqlite: SqliteWorld, world: World, topic: string, group: string): boolean {
  if (world.locked !== undefined) return false
  const connection = new ProcessConnection(sqlite, nobody)
  const session = new SqliteSession(connection, { prefix, wallMs: () => world.nowMs, onCommit: () => undefined })
  connection.prepare('begin immediate').run()
  connection.open = true
  session.begun()
  const { statements } = session
  const newest = statements
    .sql(
      'select generation, window from {p}generation join {p}window using (window) where topic = ? and grp = ? and sealed_ms is null',
    )
    .all<{ generation: number; window: number }>(topic, group)
  for (const { generation, window } of newest) {
    statements.sql('update {p}generation set sealed_ms = ? where generation = ?').run(world.nowMs, generation)
    statements.sql('insert into {p}generation (window, opened_ms) values (?, ?)').run(window, world.nowMs)
  }
  session.windows.changed()
  const tiny = { ms: Number.MAX_SAFE_INTEGER, maxIds: 0, stated: true }
  while (expire(session, { nowMs: world.nowMs, report: () => undefined }, tiny) !== undefined);
  session.flush()
  connection.prepare('commit').run()
  connection.open = false
  sqlite.commits++
  session.committed()
  return true
}
