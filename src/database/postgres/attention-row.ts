import type {
  AttentionFilter,
  AttentionGroup,
  AttentionItem,
  AttentionKind,
  AttentionState,
} from '../../attention/attention-store.ts'
import type { SqlParameter, SqlRow } from './client.ts'
import { envelopeOf } from './envelope-row.ts'
import { numberOf, numberOrNull, storable, textOf, textOrUndefined } from './sql.ts'

export const itemSelect = `select a.attention, s.topic, s.grp, a.partition, a.kind, a.state, a.fingerprint, a.error_name, a.error_message,
  a.error_stack, a.attempts, a.crashes, a.since_ms, a.by, a.reason, a.closed_ms,
  case when a.state = 'open' then (select greatest(count(*) - 1, 0) from {s}.parked k where k.subscription = a.subscription
    and k.partition = a.partition and k.lane = (select lane from {s}.parked where parked = a.parked)) else 0 end as behind,
  a.source, a.id, a.sequence::text as sequence, a.key, a.type, a.time_ms, a.headers, a.data
  from {s}.attention a join {s}.subscription s on s.subscription = a.subscription`

/** Only conditions that are asked for, so that an index fits. `next`: the parameter after theirs. */
export function matching(filter: AttentionFilter): {
  readonly where: string
  readonly values: readonly SqlParameter[]
  readonly next: string
} {
  const { state = 'open' } = filter
  const conditions: (readonly [string, string | undefined])[] = [
    ['a.state', state === 'all' ? undefined : state],
    ['a.fingerprint', filter.fingerprint],
    ['a.kind', filter.kind],
    ['s.topic', filter.topic],
    ['s.grp', filter.group],
    ['a.key', filter.key],
  ]
  const given = conditions.flatMap(([column, value]) => (value === undefined ? [] : [{ column, value }]))
  return {
    where: given.length === 0 ? '' : `where ${given.map(({ column }, index) => `${column} = $${index + 1}::text`).join(' and ')}`,
    values: given.map(({ value }) => storable(value)),
    next: `$${given.length + 1}`,
  }
}

/** Ids are shown as `a12`: short enough to type. */
export const idOf = (attention: unknown): string => `a${numberOf(attention)}`

/** What is no id at all is left out. */
export function numbersOf(ids: readonly string[]): number[] {
  return ids.flatMap((id) => {
    const match = /^a?(\d{1,15})$/.exec(id)
    return match === null ? [] : [Number(match[1])]
  })
}

export function itemOf(row: SqlRow): AttentionItem {
  const topic = textOf(row.topic)
  return {
    id: idOf(row.attention),
    topic,
    group: textOf(row.grp),
    partition: textOf(row.partition),
    kind: row.kind as AttentionKind,
    state: row.state as AttentionState,
    fingerprint: textOf(row.fingerprint),
    errorName: textOf(row.error_name),
    errorMessage: textOf(row.error_message),
    errorStack: textOf(row.error_stack),
    attempts: numberOf(row.attempts),
    crashes: numberOf(row.crashes),
    behind: numberOf(row.behind),
    sinceMs: numberOf(row.since_ms),
    by: textOrUndefined(row.by),
    reason: textOrUndefined(row.reason),
    closedMs: numberOrNull(row.closed_ms) ?? undefined,
    envelope: envelopeOf(topic, row),
  }
}

export function groupOf(row: SqlRow): AttentionGroup {
  return {
    fingerprint: textOf(row.fingerprint),
    kind: row.kind as AttentionKind,
    topic: textOf(row.topic),
    group: textOf(row.grp),
    count: numberOf(row.count),
    oldestMs: numberOf(row.oldest_ms),
    newestMs: numberOf(row.newest_ms),
    newestId: idOf(row.newest),
    errorName: textOf(row.error_name),
    errorMessage: textOf(row.error_message),
  }
}
