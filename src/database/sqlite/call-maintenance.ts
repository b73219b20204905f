import type { DedupWindow } from '../database.ts'
import { parkedIdentity } from './call-store.ts'
import type { SqliteSession, SqliteStores } from './session.ts'

/** Rows removed per step. */
const rangeRows = 1_000

interface Forgotten {
  readonly subscription: number
  /** The oldest generation that still remembers messages of this subscription. */
  readonly oldest: number
}

/**
 * The journal's rows live as long as the identity of their message: until every generation is gone that may hold it, and no
 * parked message has it. Where this database remembers no identities at all (a broker elsewhere gives offsets), they stay for
 * the window's time after the last request; should a repeat come even later, its calls carry the same tokens.
 */
const forgettable = `subscription = ?1 and generation < ?2 and (generation > 0 or intent_ms < ?3)
  and identity not in (select ${parkedIdentity} from {p}parked where subscription = ?1)`

/** A subscription whose journal has rows to remove. */
export function forgottenCalls(stores: SqliteStores, nowMs: number, window: DedupWindow): Forgotten | undefined {
  const subscriptions = stores.statements
    .sql(
      `select s.subscription, (select min(g.generation) from {p}window w join {p}generation g on g.window = w.window and g.dropped = 0
         where w.topic = s.topic and w.grp in ('', s.grp)) as oldest
       from {p}subscription s where exists (select 1 from {p}call c where c.subscription = s.subscription)`,
    )
    .all<{ subscription: number; oldest: number | null }>()
  for (const { subscription, oldest } of subscriptions) {
    const found: Forgotten = { subscription, oldest: oldest ?? Number.MAX_SAFE_INTEGER }
    const any = stores.statements
      .sql(`select 1 from {p}call where ${forgettable} limit 1`)
      .get(subscription, found.oldest, nowMs - window.ms)
    if (any !== undefined) return found
  }
  return undefined
}

/** Removes some of them; true when there may be more. */
export function removeForgottenCalls(session: SqliteSession, nowMs: number, window: DedupWindow): boolean {
  const found = forgottenCalls(session, nowMs, window)
  if (found === undefined) return false
  const removed = session.statements
    .sql(
      `delete from {p}call where subscription = ?1 and (identity, name, round) in
         (select identity, name, round from {p}call where ${forgettable} order by generation limit ${rangeRows})`,
    )
    .run(found.subscription, found.oldest, nowMs - window.ms).changes
  return removed > 0
}
