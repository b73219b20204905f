import type {
  AttemptRecord,
  AttentionFilter,
  AttentionGroup,
  AttentionItem,
  AttentionRevision,
  AttentionState,
  AttentionStore,
  AuditEntry,
} from '../../attention/attention-store.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope } from '../../message.ts'
import { groupOf, idOf, itemOf, itemSelect, matching, numbersOf } from './attention-row.ts'
import type { StoreContext } from './known.ts'
import { leaseName, lockLeases } from './lease-lock.ts'
import { removeParked } from './parked-store.ts'
import { bigintOf, numberOf, storable, textOf, textOrUndefined } from './sql.ts'
import type { Subscriptions } from './subscriptions.ts'

const parkedOf = '(select parked from {s}.attention where attention = $1::bigint)'

export class PostgresAttentionStore implements AttentionStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions

  constructor(context: StoreContext, subscriptions: Subscriptions) {
    this.#context = context
    this.#subscriptions = subscriptions
  }

  async lock(ids: readonly string[]): Promise<void> {
    await lockLeases(
      this.#context.sql,
      `select ${leaseName} from {s}.attention k join {s}.subscription s on s.subscription = k.subscription
       where k.attention in (select json_array_elements_text($1::json)::bigint)`,
      JSON.stringify(numbersOf(ids)),
    )
  }

  async list(filter: AttentionFilter): Promise<AttentionItem[]> {
    const { where, values, next } = matching(filter)
    const rows = await this.#context.sql.rows(
      `${itemSelect} ${where} order by a.attention limit ${next}::int`,
      ...values,
      filter.limit ?? 1_000,
    )
    return rows.map(itemOf)
  }

  async ids(filter: AttentionFilter): Promise<string[]> {
    const { where, values, next } = matching(filter)
    const rows = await this.#context.sql.rows(
      `select a.attention from {s}.attention a join {s}.subscription s on s.subscription = a.subscription ${where}
       order by a.attention limit ${next}::int`,
      ...values,
      filter.limit ?? null,
    )
    return rows.map((row) => idOf(row.attention))
  }

  async groups(filter: AttentionFilter): Promise<AttentionGroup[]> {
    const { where, values, next } = matching(filter)
    const rows = await this.#context.sql.rows(
      `select g.*, n.error_name, n.error_message from (
         select a.fingerprint, a.kind, s.topic, s.grp, count(*) as count, min(a.since_ms) as oldest_ms, max(a.since_ms) as newest_ms,
           max(a.attention) as newest
         from {s}.attention a join {s}.subscription s on s.subscription = a.subscription ${where}
         group by a.fingerprint, a.kind, s.subscription, s.topic, s.grp) g
       join {s}.attention n on n.attention = g.newest order by g.count desc, g.newest desc limit ${next}::int`,
      ...values,
      filter.limit ?? 1_000,
    )
    return rows.map(groupOf)
  }

  async get(id: string): Promise<AttentionItem | undefined> {
    const [number] = numbersOf([id])
    if (number === undefined) return undefined
    const row = await this.#context.sql.row(`${itemSelect} where a.attention = $1::bigint`, number)
    return row === undefined ? undefined : itemOf(row)
  }

  async openOf(subscription: Subscription, message: Pick<Envelope, 'source' | 'id'>): Promise<AttentionItem | undefined> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return undefined
    const row = await this.#context.sql.row(
      `${itemSelect} where a.state = 'open' and a.parked in (
         select parked from {s}.parked where subscription = $1::int and source = $2::text and id = $3::text)
       order by a.attention desc limit 1`,
      number,
      storable(message.source),
      storable(message.id),
    )
    return row === undefined ? undefined : itemOf(row)
  }

  async failedAttempts(id: string): Promise<AttemptRecord[]> {
    const rows = await this.#context.sql.rows(
      `select attempt, at_ms, error_name, error_message, error_stack from {s}.attempt where parked = ${parkedOf} order by turn`,
      numberOrNone(id),
    )
    return rows.map((row) => ({
      attempt: numberOf(row.attempt),
      atMs: numberOf(row.at_ms),
      errorName: textOf(row.error_name),
      errorMessage: textOf(row.error_message),
      errorStack: textOf(row.error_stack),
    }))
  }

  async audit(id: string): Promise<AuditEntry[]> {
    const rows = await this.#context.sql.rows(
      'select action, by, reason, at_ms, details from {s}.audit where attention = $1::bigint order by audit',
      numberOrNone(id),
    )
    return rows.map((row) => ({
      action: row.action as AuditEntry['action'],
      by: textOrUndefined(row.by),
      reason: textOrUndefined(row.reason),
      atMs: numberOf(row.at_ms),
      details: textOrUndefined(row.details),
    }))
  }

  async revisions(id: string): Promise<AttentionRevision[]> {
    const rows = await this.#context.sql.rows(
      `select r.by, r.reason, r.at_ms, r.before, r.after from {s}.revision r join {s}.attention o on o.attention = r.attention
       where o.parked = ${parkedOf} order by r.revision`,
      numberOrNone(id),
    )
    return rows.map((row) => ({
      by: textOf(row.by),
      reason: textOrUndefined(row.reason),
      atMs: numberOf(row.at_ms),
      before: textOf(row.before),
      after: textOf(row.after),
    }))
  }

  async redrive(id: string, by: string | undefined, nowMs: number, reason?: string): Promise<boolean> {
    const parked = await this.#close(id, 'redriven', by, reason, nowMs)
    if (parked === undefined) return false
    await this.#dueAgain(parked, nowMs)
    return true
  }

  async discard(id: string, by: string, reason: string, nowMs: number): Promise<boolean> {
    const parked = await this.#close(id, 'discarded', by, reason, nowMs)
    if (parked === undefined) return false
    await removeParked(this.#context.sql, [parked], nowMs)
    return true
  }

  async settle(id: string, then: 'go-on' | 'put-aside', by: string, reason: string | undefined, nowMs: number): Promise<boolean> {
    const parked = await this.#close(id, 'settled', by, reason, nowMs)
    if (parked === undefined) return false
    if (then === 'go-on') await this.#dueAgain(parked, nowMs)
    else await removeParked(this.#context.sql, [parked], nowMs)
    return true
  }

  async revise(id: string, { by, reason, atMs, after }: Omit<AttentionRevision, 'before'>): Promise<boolean> {
    const revised = await this.#context.sql.count(
      `with revised as (
         insert into {s}.revision (attention, subscription, source, id, by, reason, at_ms, before, after)
         select a.attention, k.subscription, k.source, k.id, $2::text, $3::text, $4::bigint, k.data, $5::text
         from {s}.attention a join {s}.parked k on k.parked = a.parked where a.attention = $1::bigint returning 1)
       update {s}.parked k set data = $5::text from revised where k.parked = ${parkedOf} returning 1`,
      numberOrNone(id),
      storable(by),
      reason === undefined ? null : storable(reason),
      Math.floor(atMs),
      after,
    )
    return revised === 1
  }

  async record(id: string, { action, by, reason, atMs, details }: AuditEntry): Promise<void> {
    await this.#context.sql.rows(
      `insert into {s}.audit (attention, action, by, reason, at_ms, details)
       values ($1::bigint, $2::text, $3::text, $4::text, $5::bigint, $6::text)`,
      numberOrNone(id),
      action,
      by === undefined ? null : storable(by),
      reason === undefined ? null : storable(reason),
      Math.floor(atMs),
      details ?? null,
    )
  }

  /** Now; or, when earlier messages of its key are parked, after them. */
  async #dueAgain(parked: bigint, nowMs: number): Promise<void> {
    await this.#context.sql.rows(
      `update {s}.parked k set attempts = 0, crashes = 0, due_ms = $2::bigint, state = case when exists (select 1 from {s}.parked e
         where e.subscription = k.subscription and e.partition = k.partition and e.lane = k.lane and e.parked < k.parked)
         then 'behind' else 'waiting' end where k.parked = $1::bigint`,
      parked.toString(),
      Math.floor(nowMs),
    )
  }

  /** The update from 'open' is the claim: of two clicks, or two processes, one changes a row. */
  async #close(
    id: string,
    state: AttentionState,
    by: string | undefined,
    reason: string | undefined,
    nowMs: number,
  ): Promise<bigint | undefined> {
    const closed = await this.#context.sql.row(
      `update {s}.attention a set state = $2::text, by = $3::text, reason = $4::text, closed_ms = $5::bigint from {s}.subscription s
       where a.attention = $1::bigint and a.state = 'open' and s.subscription = a.subscription returning a.parked, s.topic`,
      numberOrNone(id),
      state,
      by === undefined ? null : storable(by),
      reason === undefined ? null : storable(reason),
      Math.floor(nowMs),
    )
    if (closed === undefined) return undefined
    // The partition's owner is to look at once.
    this.#context.touched.add(textOf(closed.topic))
    return bigintOf(closed.parked)
  }
}

const numberOrNone = (id: string): number => numbersOf([id])[0] ?? -1
