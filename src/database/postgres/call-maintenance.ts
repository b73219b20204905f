import type { DedupWindow } from '../database.ts'
import { rangeRows } from '../window-rules.ts'
import { parkedIdentity } from './call-store.ts'
import type { Access } from './maintenance-access.ts'
import { numberOf, textOf } from './sql.ts'

interface Forgotten {
  readonly subscription: number
  /** The oldest generation that still remembers messages of this subscription. */
  readonly oldest: number
}

/** Above all numbers of generations. */
const noGeneration = 2 ** 31 - 1

/**
 * The journal's rows live as long as the identity of their message: until every generation is gone that may hold it, and no
 * parked message has it. Where this database remembers no identities at all (a broker elsewhere gives offsets), they stay for
 * the window's time after the last request; should a repeat come even later, its calls carry the same tokens.
 */
const forgettable = `c.subscription = $1::int and c.generation < $2::int and (c.generation > 0 or c.intent_ms < $3::bigint)
  and not exists (select 1 from {s}.parked where subscription = $1::int and ${parkedIdentity} = c.identity)`

/** A subscription whose journal has rows to remove. */
export async function forgottenCalls(
  { context: { sql } }: Access,
  nowMs: number,
  window: DedupWindow,
): Promise<Forgotten | undefined> {
  const subscriptions = await sql.rows(
    `select s.subscription, (select min(g.generation) from {s}.dedup_window w join {s}.generation g on g.dedup = w.dedup and not g.dropped
       where w.topic = s.topic and w.grp in ('', s.grp)) as oldest
     from {s}.subscription s where exists (select 1 from {s}.call c where c.subscription = s.subscription) order by s.subscription`,
  )
  for (const row of subscriptions) {
    const found: Forgotten = {
      subscription: numberOf(row.subscription),
      oldest: row.oldest === null ? noGeneration : numberOf(row.oldest),
    }
    const any = await sql.row(
      `select 1 from {s}.call c where ${forgettable} limit 1`,
      found.subscription,
      found.oldest,
      Math.floor(nowMs - window.ms),
    )
    if (any !== undefined) return found
  }
  return undefined
}

/**
 * Removes some of them; true when there may be more. Only where the partition's owner is not in a transaction, and it is held up
 * until we are done: it parks no message whose journal goes at this moment. Generations only go, so nothing else changes.
 */
export async function removeForgottenCalls(session: Access, nowMs: number, window: DedupWindow): Promise<boolean> {
  const found = await forgottenCalls(session, nowMs, window)
  if (found === undefined) return false
  const { sql } = session.context
  const values = [found.subscription, found.oldest, Math.floor(nowMs - window.ms)] as const
  const leases = await sql.rows(
    `select l.name from {s}.lease l where l.name in (select c.lease from {s}.call c where ${forgettable})
     order by l.name for update skip locked`,
    ...values,
  )
  const removed = await sql.count(
    `delete from {s}.call where ctid = any (array(
       select c.ctid from {s}.call c where ${forgettable}
         and (c.lease in (select json_array_elements_text($4::json)) or not exists (select 1 from {s}.lease l where l.name = c.lease))
       order by c.generation limit ${rangeRows} for update skip locked)) returning 1`,
    ...values,
    JSON.stringify(leases.map(({ name }) => textOf(name))),
  )
  return removed > 0
}
