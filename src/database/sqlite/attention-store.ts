import type {
  AttemptRecord,
  AttentionFilter,
  AttentionGroup,
  AttentionItem,
  AttentionKind,
  AttentionRevision,
  AttentionState,
  AttentionStore,
  AuditEntry,
} from '../../attention/attention-store.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope } from '../../message.ts'
import type { SqlValue } from './connection.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeOf, envelopeSelect } from './envelope-row.ts'
import { removeParked } from './parked-store.ts'
import type { Statements } from './statements.ts'
import type { Subscriptions } from './subscriptions.ts'

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

const subscriptions = '(select subscription, topic, grp from {p}subscription) s'

const select = `select a.attention, s.topic, s.grp, a.partition, a.kind, a.state, a.fingerprint, a.error_name, a.error_message, a.error_stack,
  a.attempts, a.crashes, a.since_ms, a.by, a.reason, a.closed_ms,
  case when a.state = 'open' then (select max(count(*) - 1, 0) from {p}parked k where k.subscription = a.subscription and k.partition = a.partition
    and k.lane = (select lane from {p}parked where parked = a.parked)) else 0 end as behind,
  ${envelopeSelect}
  from {p}attention a join ${subscriptions} on s.subscription = a.subscription`

export class SqliteAttentionStore implements AttentionStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions
  readonly #touched: Set<string>

  constructor(statements: Statements, subscriptions: Subscriptions, touched: Set<string>) {
    this.#statements = statements
    this.#subscriptions = subscriptions
    this.#touched = touched
  }

  /** Nobody else writes while a transaction is open. */
  lock(): void {}

  list(filter: AttentionFilter): AttentionItem[] {
    const { where, values } = matching(filter)
    return this.#statements
      .sql(`${select} ${where} order by a.attention limit ?`)
      .all<AttentionRow>(...values, filter.limit ?? 1_000)
      .map(itemOf)
  }

  ids(filter: AttentionFilter): string[] {
    const { where, values } = matching(filter)
    return this.#statements
      .sql(
        `select a.attention from {p}attention a join ${subscriptions} on s.subscription = a.subscription ${where} order by a.attention limit ?`,
      )
      .all<{ attention: number }>(...values, filter.limit ?? -1)
      .map(({ attention }) => idOf(attention))
  }

  groups(filter: AttentionFilter): AttentionGroup[] {
    const { where, values } = matching(filter)
    return this.#statements
      .sql(
        `select g.*, n.error_name, n.error_message from (
           select a.fingerprint, a.kind, s.topic, s.grp, count(*) as count, min(a.since_ms) as oldest_ms, max(a.since_ms) as newest_ms,
             max(a.attention) as newest
           from {p}attention a join ${subscriptions} on s.subscription = a.subscription ${where}
           group by a.fingerprint, a.kind, a.subscription) g
         join {p}attention n on n.attention = g.newest order by g.count desc, g.newest desc limit ?`,
      )
      .all<{
        fingerprint: string
        kind: AttentionKind
        topic: string
        grp: string
        count: number
        oldest_ms: number
        newest_ms: number
        newest: number
        error_name: string
        error_message: string
      }>(...values, filter.limit ?? 1_000)
      .map((row) => ({
        fingerprint: row.fingerprint,
        kind: row.kind,
        topic: row.topic,
        group: row.grp,
        count: row.count,
        oldestMs: row.oldest_ms,
        newestMs: row.newest_ms,
        newestId: idOf(row.newest),
        errorName: row.error_name,
        errorMessage: row.error_message,
      }))
  }

  get(id: string): AttentionItem | undefined {
    const number = numberOf(id)
    if (number === undefined) return undefined
    const row = this.#statements.sql(`${select} where a.attention = ?`).get<AttentionRow>(number)
    return row === undefined ? undefined : itemOf(row)
  }

  openOf(subscription: Subscription, message: Pick<Envelope, 'source' | 'id'>): AttentionItem | undefined {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return undefined
    // The plus sign keeps SQLite from walking all open items.
    const row = this.#statements
      .sql(
        `${select} where +a.state = 'open' and a.parked in (select parked from {p}parked where subscription = ? and source = ? and id = ?)
         order by a.attention desc limit 1`,
      )
      .get<AttentionRow>(number, message.source, message.id)
    return row === undefined ? undefined : itemOf(row)
  }

  failedAttempts(id: string): AttemptRecord[] {
    return this.#statements
      .sql(
        `select t.attempt, t.at_ms as atMs, t.error_name as errorName, t.error_message as errorMessage, t.error_stack as errorStack
         from {p}attempt t join {p}attention a using (parked) where a.attention = ? order by t.turn`,
      )
      .all<AttemptRecord>(numberOf(id) ?? -1)
  }

  audit(id: string): AuditEntry[] {
    return this.#statements
      .sql('select action, by, reason, at_ms as atMs, details from {p}audit where attention = ? order by audit')
      .all<AuditEntry & { by: string | null; reason: string | null; details: string | null }>(numberOf(id) ?? -1)
      .map((row) => ({
        ...row,
        by: row.by ?? undefined,
        reason: row.reason ?? undefined,
        details: row.details ?? undefined,
      }))
  }

  revisions(id: string): AttentionRevision[] {
    return this.#statements
      .sql(
        `select r.by, r.reason, r.at_ms as atMs, r.before, r.after from {p}revision r join {p}attention o on o.attention = r.attention
         where o.parked = (select parked from {p}attention where attention = ?) order by r.revision`,
      )
      .all<AttentionRevision & { reason: string | null }>(numberOf(id) ?? -1)
      .map((row) => ({ ...row, reason: row.reason ?? undefined }))
  }

  redrive(id: string, by: string | undefined, nowMs: number, reason?: string): boolean {
    const parked = this.#close(id, 'redriven', by, reason, nowMs)
    if (parked === undefined) return false
    this.#dueAgain(parked, nowMs)
    return true
  }

  discard(id: string, by: string, reason: string, nowMs: number): boolean {
    const parked = this.#close(id, 'discarded', by, reason, nowMs)
    if (parked === undefined) return false
    removeParked(this.#statements, parked, nowMs)
    return true
  }

  settle(id: string, then: 'go-on' | 'put-aside', by: string, reason: string | undefined, nowMs: number): boolean {
    const parked = this.#close(id, 'settled', by, reason, nowMs)
    if (parked === undefined) return false
    if (then === 'go-on') this.#dueAgain(parked, nowMs)
    else removeParked(this.#statements, parked, nowMs)
    return true
  }

  revise(id: string, { by, reason, atMs, after }: Omit<AttentionRevision, 'before'>): boolean {
    const number = numberOf(id)
    if (number === undefined) return false
    const { changes } = this.#statements
      .sql(
        `insert into {p}revision (attention, subscription, source, id, by, reason, at_ms, before, after)
         select a.attention, k.subscription, k.source, k.id, ?, ?, ?, k.data, ? from {p}attention a join {p}parked k using (parked)
         where a.attention = ?`,
      )
      .run(by, reason ?? null, atMs, after, number)
    this.#statements
      .sql('update {p}parked set data = ? where parked = (select parked from {p}attention where attention = ?)')
      .run(after, number)
    return changes === 1
  }

  record(id: string, { action, by, reason, atMs, details }: AuditEntry): void {
    this.#statements
      .sql('insert into {p}audit (attention, action, by, reason, at_ms, details) values (?, ?, ?, ?, ?, ?)')
      .run(numberOf(id) ?? -1, action, by ?? null, reason ?? null, atMs, details ?? null)
  }

  /** Now; or, when earlier messages of its key are parked, after them. */
  #dueAgain(parked: number, nowMs: number): void {
    this.#statements
      .sql(
        `update {p}parked as k set attempts = 0, crashes = 0, due_ms = ?, state = iif(exists (select 1 from {p}parked e
           where e.subscription = k.subscription and e.partition = k.partition and e.lane = k.lane and e.parked < k.parked),
           'behind', 'waiting') where parked = ?`,
      )
      .run(nowMs, parked)
  }

  /** The update from 'open' is the claim: of two clicks, or two processes, one changes a row. */
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

/** Only conditions that are asked for, so that an index fits. */
function matching(filter: AttentionFilter): { readonly where: string; readonly values: SqlValue[] } {
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
    where: given.length === 0 ? '' : `where ${given.map(({ column }) => `${column} = ?`).join(' and ')}`,
    values: given.map(({ value }) => value),
  }
}

/** Ids are shown as `a12`: short enough to type. */
function idOf(attention: number): string {
  return `a${attention}`
}

function numberOf(id: string): number | undefined {
  const match = /^a?(\d{1,15})$/.exec(id)
  return match === null ? undefined : Number(match[1])
}

function itemOf(row: AttentionRow): AttentionItem {
  return {
    id: idOf(row.attention),
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
