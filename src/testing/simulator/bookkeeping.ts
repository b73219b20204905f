import { keptAttempts } from '../../consume/parked-store.ts'
import type { Operation } from '../history.ts'
import type { SqliteWorld } from './sqlite-world.ts'
import { prefix } from './sqlite-world.ts'

const name = "s.topic || '/' || s.grp"
const marked = `select ${name} as grp, m.identity from ${prefix}start_mark m join ${prefix}subscription s using (subscription)
  where not exists (select 1 from ${prefix}parked p where p.subscription = m.subscription and m.identity = p.source || '/' || p.id)`
const applied = `select s.topic, s.grp, sum(c.applied) as applied from ${prefix}checkpoint c join ${prefix}subscription s using (subscription)
  group by c.subscription`
const attempts = `select parked, count(*) as kept, min(turn) as first, max(turn) as last from ${prefix}attempt group by parked`
const orphans = `select count(*) as attempts from ${prefix}attempt a where not exists (select 1 from ${prefix}parked p where p.parked = a.parked)
  and not exists (select 1 from ${prefix}attention t where t.parked = a.parked)`
const short = `select ${name} as grp, p.id, p.attempts, (select count(*) from ${prefix}attempt a where a.parked = p.parked) as kept
  from ${prefix}parked p join ${prefix}subscription s using (subscription)`

/** What people and tools read: counters, attempt lists and start marks, at the quiet end. In sentences. */
export function bookkeeping(sqlite: SqliteWorld, history: readonly Operation[], effectivelyOnce: ReadonlySet<string>): string[] {
  const { connection } = sqlite
  const found: string[] = []
  for (const { grp, identity } of connection.prepare(marked).all<{ grp: string; identity: string }>())
    if (effectivelyOnce.has(grp)) found.push(`${grp} is done with ${identity}, and still suspects it of ending its process.`)
  const effects = new Map<string, number>()
  for (const one of history)
    if (one.op === 'effect') effects.set(`${one.topic}/${one.group}`, (effects.get(`${one.topic}/${one.group}`) ?? 0) + 1)
  for (const { topic, grp, applied: counted } of connection
    .prepare(applied)
    .all<{ topic: string; grp: string; applied: number }>()) {
    const did = effects.get(`${topic}/${grp}`) ?? 0
    if (effectivelyOnce.has(`${topic}/${grp}`) && did !== counted)
      found.push(`Group ${grp} of topic ${topic} counts ${counted} messages applied, and there were ${did}.`)
  }
  for (const { parked, kept, first, last } of connection
    .prepare(attempts)
    .all<{ parked: number; kept: number; first: number; last: number }>()) {
    if (last - first + 1 !== kept || kept > keptAttempts || (first !== 1 && kept !== keptAttempts))
      found.push(`Of the failed attempts of message ${parked}, ${kept} are kept, from ${first} to ${last}.`)
  }
  // What is refused at COMMIT counts as several attempts, and is one.
  for (const one of connection.prepare(short).all<{ grp: string; id: string; attempts: number; kept: number }>())
    if (effectivelyOnce.has(one.grp) && one.kept === 0 && one.attempts > 0)
      found.push(`${one.grp} has attempted ${one.id} ${one.attempts} times, and none of these attempts is kept.`)
  const lost = connection.prepare(orphans).get<{ attempts: number }>()?.attempts ?? 0
  if (lost > 0) found.push(`${lost} failed attempts are kept of messages that nobody has any more.`)
  return found
}
