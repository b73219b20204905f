import { placeOf } from './place-of.ts'
import type { WorldDatabase } from './world-database.ts'

/** How the schedule without faults ended for messages whose handlers did not manage: of those, all others show little. */
export interface WithoutFaults {
  /** Messages that needed a person, counted once for each group. */
  readonly attention: number
  /** Messages that wait behind those. */
  readonly behind: number
  /** The first of them: `payments/ledger p1: Error: no such table: account (app.ts:12)`. */
  readonly first: string | undefined
  /** What is probably to be done about it. */
  readonly hint: string | undefined
}

interface Row {
  readonly topic: string
  readonly grp: string
  readonly id: string
  readonly name: string
  readonly message: string
  readonly stack: string
}

const needed = `
  select s.topic, s.grp, a.id, a.error_name as name, a.error_message as message, a.error_stack as stack
    from {p}attention a join {p}subscription s using (subscription)
    where a.attention in (select min(attention) from {p}attention group by subscription, source, id) order by a.attention`
const behind = `select count(*) as messages from {p}parked where state = 'behind'`

/** Asked when the schedule without faults has ended, before the next begins. */
export async function withoutFaults(database: WorldDatabase): Promise<WithoutFaults> {
  const rows = await database.rows<Row>(needed)
  const [first] = rows
  const place = first === undefined ? undefined : placeOf({ name: '', message: '', stack: first.stack })
  return {
    attention: rows.length,
    behind: Number((await database.rows<{ messages: number }>(behind))[0]?.messages ?? 0),
    first:
      first === undefined
        ? undefined
        : `${first.topic}/${first.grp} ${first.id}: ${first.name}: ${first.message}${place === undefined ? '' : ` (${place})`}`,
    hint: rows.some(({ message }) => /no such table|relation ".*" does not exist/.test(message))
      ? "The simulated database begins without the handlers' own tables: make them in `setup`."
      : undefined,
  }
}
