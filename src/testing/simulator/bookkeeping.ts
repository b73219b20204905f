import { keptAttempts } from '../../consume/parked-store.ts'
import type { Operation } from '../history.ts'
import type { WorldDatabase } from './world-database.ts'

const marked = `select s.topic || '/' || s.grp as grp, m.identity from {p}start_mark m join {p}subscription s using (subscription)
  where not exists (select 1 from {p}parked p where p.subscription = m.subscription and m.identity = p.source || '/' || p.id)`
const applied = `select s.topic, s.grp, sum(c.applied) as applied from {p}checkpoint c join {p}subscription s using (subscription)
  group by c.subscription, s.topic, s.grp`
const attempts = `select parked, count(*) as kept, min(turn) as first, max(turn) as last from {p}attempt group by parked`
const orphans = `select count(*) as attempts from {p}attempt a where not exists (select 1 from {p}parked p where p.parked = a.parked)
  and not exists (select 1 from {p}attention t where t.parked = a.parked)`
const short = `select s.topic || '/' || s.grp as grp, p.id, p.attempts, (select count(*) from {p}attempt a where a.parked = p.parked) as kept
  from {p}parked p join {p}subscription s using (subscription)`

/** What people and tools read: counters, attempt lists and start marks, at the quiet end. In sentences. */
export async function bookkeeping(
  database: WorldDatabase,
  history: readonly Operation[],
  effectivelyOnce: ReadonlySet<string>,
): Promise<string[]> {
  const found: string[] = []
  for (const { grp, identity } of await database.rows<{ grp: string; identity: string }>(marked))
    if (effectivelyOnce.has(grp)) found.push(`${grp} is done with ${identity}, and still suspects it of ending its process.`)
  const effects = new Map<string, number>()
  for (const one of history)
    if (one.op === 'effect') effects.set(`${one.topic}/${one.group}`, (effects.get(`${one.topic}/${one.group}`) ?? 0) + 1)
  for (const { topic, grp, applied: counted } of await database.rows<{ topic: string; grp: string; applied: number }>(applied)) {
    const did = effects.get(`${topic}/${grp}`) ?? 0
    if (effectivelyOnce.has(`${topic}/${grp}`) && did !== Number(counted))
      found.push(`Group ${grp} of topic ${topic} counts ${counted} messages applied, and there were ${did}.`)
  }
  for (const row of await database.rows<Record<'parked' | 'kept' | 'first' | 'last', number>>(attempts)) {
    const [kept, first, last] = [Number(row.kept), Number(row.first), Number(row.last)]
    if (last - first + 1 !== kept || kept > keptAttempts || (first !== 1 && kept !== keptAttempts))
      found.push(`Of the failed attempts of message ${row.parked}, ${kept} are kept, from ${first} to ${last}.`)
  }
  // What is refused at COMMIT counts as several attempts, and is one.
  for (const one of await database.rows<{ grp: string; id: string; attempts: number; kept: number }>(short))
    if (effectivelyOnce.has(one.grp) && Number(one.kept) === 0 && Number(one.attempts) > 0)
      found.push(`${one.grp} has attempted ${one.id} ${one.attempts} times, and none of these attempts is kept.`)
  const lost = Number((await database.rows<{ attempts: number }>(orphans))[0]?.attempts ?? 0)
  if (lost > 0) found.push(`${lost} failed attempts are kept of messages that nobody has any more.`)
  return found
}
