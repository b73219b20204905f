import type { Execute } from '../../database/postgres/client.ts'
import { expiredGeneration, forget } from '../../database/postgres/forgetting.ts'
import { droppedGeneration, removeRows } from '../../database/postgres/forgotten-rows.ts'
import { Known } from '../../database/postgres/known.ts'
import { seal } from '../../database/postgres/sealing.ts'
import { PostgresStores } from '../../database/postgres/session.ts'
import { numberOf } from '../../database/postgres/sql.ts'

/** Nothing fits in, and nothing is too old. */
const tiny = { ms: Number.MAX_SAFE_INTEGER, maxIds: 0, stated: true }

/**
 * All that a window knows is forgotten, as it is after a week: a topic's where no group is named, else the group's. By the
 * store's own rules, in a commit of whoever keeps house.
 */
export async function forgetOnPostgres(
  execute: Execute,
  {
    schema,
    nowMs,
    topic,
    group,
  }: { readonly schema: string; readonly nowMs: number; readonly topic: string; readonly group: string },
): Promise<void> {
  const access = new PostgresStores(execute, {
    schema,
    where: 'simulated',
    known: new Known(),
    wallMs: () => nowMs,
    relaxedOffsets: true,
  })
  const { sql } = access.context
  await execute('begin')
  const window = await sql.row('select dedup, current from {s}.dedup_window where topic = $1 and grp = $2', topic, group)
  if (window !== undefined) {
    const dedup = numberOf(window.dedup)
    await seal(access, { dedup, generation: numberOf(window.current) }, nowMs)
    while ((await expiredGeneration(access, nowMs, tiny, dedup)) !== undefined) await forget(access, dedup, nowMs, tiny)
    for (let gone = await droppedGeneration(access); gone !== undefined; gone = await droppedGeneration(access))
      await removeRows(access, gone)
  }
  await execute('commit')
}
