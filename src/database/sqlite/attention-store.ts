import type {
  AttentionFilter,
  AttentionItem,
  AttentionKind,
  AttentionState,
  AttentionStore,
} from '../../attention/attention-store.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeOf, envelopeSelect } from './envelope-row.ts'
import { removeParked } from './parked-store.ts'
import type { Statements } from './statements.ts'

interface AttentionRow extends EnvelopeRow {
  readonly attention: number
  readonly topic: string
  readonly grp: string
  readonly partition: string
  readonly kind: AttentionKind
  readonly state: AttentionState
  readonly fingerprint: string
  readonly error_name: string
  readonly error_message: string
  readonly error_stack: string
  readonly attempts: number
  readonly crashes: number
  readonly since_ms: number
  readonly by: string | null
  readonly reason: string | null
  readonly closed_ms: number | null
  readonly behind: number
}

const select = `select a.attention, s.topic, s.grp, a.partition, a.kind, a.state, a.fingerprint, a.error_name, a.error_message, a.error_stack,
  a.attempts, a.crashes, a.since_ms, a.by, a.reason, a.closed_ms,
  case when a.state = 'open' then (select max(count(*) - 1, 0) from {p}parked k where k.subscription = a.subscription and k.partition = a.partition
    and k.lane = (select lane from {p}parked where parked = a.parked)) else 0 end as behind,
  ${envelopeSelect}
  from {p}attention a join (select subscription, topic, grp from {p}subscription) s on s.subscription = a.subscription`

export class SqliteAttentionStore implements AttentionStore {
  readonly #statements: Statements
  readonly #touched: Set<string>

  constructor(statements: Statements, touched: Set<string>) {
    this.#statements = statements
    this.#touched = touched
  }

  list(filter: AttentionFilter): AttentionItem[] {
    return this.#statements
      .sql(
        `${select} where (?1 is null or s.topic = ?1) and (?2 is null or s.grp = ?2) and (?3 = 'all' or a.state = ?3) order by a.attention limit ?4`,
      )
      .all<AttentionRow>(filter.topic ?? null, filter.group ?? null, filter.state ?? 'open', filter.limit ?? 1_000)
      .map(itemOf)
  }

  get(id: string): AttentionItem | undefined {
    const number = numberOf(id)
    if (number === undefined) return undefined
    const row = this.#statements.sql(`${select} where a.attention = ?`).get<AttentionRow>(number)
    return row === undefined ? undefined : itemOf(row)
  }

  /** The update from 'open' is the claim: of two clicks, or two processes, one changes a row. */
  redrive(id: string, by: string | undefined, nowMs: number): boolean {
    const parked = this.#close(id, 'redriven', by, undefined, nowMs)
    if (parked === undefined) return false
    this.#statements
      .sql("update {p}parked set state = 'waiting', attempts = 0, crashes = 0, due_ms = ? where parked = ?")
      .run(nowMs, parked)
    return true
  }

  discard(id: string, by: string, reason: string, nowMs: number): boolean {
    const parked = this.#close(id, 'discarded', by, reason, nowMs)
    if (parked === undefined) return false
    removeParked(this.#statements, parked, nowMs)
    return true
  }

  #close(
    id: string,
    state: AttentionState,
    by: string | undefined,
    reason: string | undefined,
    nowMs: number,
  ): number | undefined {
    const number = numberOf(id)
    if (number === undefined) return undefined
    const closed = this.#statements
      .sql(
        "update {p}attention set state = ?, by = ?, reason = ?, closed_ms = ? where attention = ? and state = 'open' returning parked, subscription",
      )
      .get<{ parked: number; subscription: number }>(state, by ?? null, reason ?? null, nowMs, number)
    if (closed === undefined) return undefined
    const topic = this.#statements
      .sql('select topic from {p}subscription where subscription = ?')
      .get<{ topic: string }>(closed.subscription)
    // The partition's owner is to look at once.
    if (topic !== undefined) this.#touched.add(topic.topic)
    return closed.parked
  }
}

/** Ids are shown as `a12`: short enough to type. */
function numberOf(id: string): number | undefined {
  const match = /^a?(\d{1,15})$/.exec(id)
  return match === null ? undefined : Number(match[1])
}

function itemOf(row: AttentionRow): AttentionItem {
  return {
    id: `a${row.attention}`,
    topic: row.topic,
    group: row.grp,
    partition: row.partition,
    kind: row.kind,
    state: row.state,
    fingerprint: row.fingerprint,
    errorName: row.error_name,
    errorMessage: row.error_message,
    errorStack: row.error_stack,
    attempts: row.attempts,
    crashes: row.crashes,
    behind: row.behind,
    sinceMs: row.since_ms,
    by: row.by ?? undefined,
    reason: row.reason ?? undefined,
    closedMs: row.closed_ms ?? undefined,
    envelope: envelopeOf(row.topic, row),
  }
}
