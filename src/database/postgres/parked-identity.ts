import type { Envelope } from '../../message.ts'
import type { Sql } from './sql.ts'
import { numberOf, textOf } from './sql.ts'

/**
 * What parked messages make of others with their identities, in the order given: the same again, or other data under a used id.
 * Undefined: none of that identity is parked. A parked message that a person has edited is still known by what was published.
 */
export async function parkedStatuses(
  sql: Sql,
  subscription: number,
  envelopes: readonly Envelope[],
): Promise<('seen' | 'reused' | undefined)[]> {
  const statuses: ('seen' | 'reused' | undefined)[] = envelopes.map(() => undefined)
  if (envelopes.length === 0) return statuses
  // Few of them are parked, so bodies come from there, and are not sent there.
  const rows = await sql.rows(
    `select r.n, k.data, exists (select 1 from {s}.revision v where v.subscription = k.subscription and v.source = k.source and v.id = k.id) as edited
     from json_to_recordset($2::json) as r (n int, source text, id text, sequence bigint)
       join {s}.parked k on k.subscription = $1::int and k.source = r.source and k.id = r.id and k.sequence is not distinct from r.sequence`,
    subscription,
    JSON.stringify(envelopes.map(({ source, id, sequence }, n) => ({ n, source, id, sequence: sequence?.toString() ?? null }))),
  )
  for (const row of rows) {
    const n = numberOf(row.n)
    const same = textOf(row.data) === envelopes[n]?.json || row.edited === true
    if (statuses[n] !== 'seen') statuses[n] = same ? 'seen' : 'reused'
  }
  return statuses
}
