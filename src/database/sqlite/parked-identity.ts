import type { Envelope } from '../../message.ts'
import type { Statements } from './statements.ts'

/**
 * What a parked message makes of another with its identity: the same again, or other data under a used id. Undefined: none
 * of that identity is parked. A parked message that a person has edited is still known by what was published.
 */
export function parkedStatus(
  statements: Statements,
  subscription: number,
  { source, id, sequence, json }: Envelope,
): 'seen' | 'reused' | undefined {
  const parked = statements
    .sql('select data from {p}parked where subscription = ? and source = ? and id = ? and sequence is ?')
    .get<{ data: string }>(subscription, source, id, sequence ?? null)
  if (parked === undefined) return undefined
  if (parked.data === json) return 'seen'
  const edited = statements
    .sql('select 1 from {p}revision where subscription = ? and source = ? and id = ? limit 1')
    .get(subscription, source, id)
  return edited === undefined ? 'reused' : 'seen'
}
