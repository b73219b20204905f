import type { AttentionReason } from '../../attention/attention-store.ts'
import type {
  AttemptRecord,
  FailedTurn,
  NewParked,
  ParkedMessage,
  ParkedState,
  ParkedStore,
  StartMarkStore,
} from '../../consume/parked-store.ts'
import { keptAttempts } from '../../consume/parked-store.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope } from '../../message.ts'
import { erasedType } from '../../message.ts'
import type { EnvelopeRow } from './envelope-row.ts'
import { envelopeColumns, envelopeOf, envelopePlaceholders, envelopeSelect, envelopeValues } from './envelope-row.ts'
import { offsetSpan } from './schema.ts'
import type { Statements } from './statements.ts'
import { limited } from './statements.ts'
import type { Subscriptions } from './subscriptions.ts'

const insertParked = `insert into {p}parked (subscription, partition, lane, state, due_ms, attempts, crashes, parked_ms, ${envelopeColumns})
  values (?, ?, ?, ?, ?, ?, ?, ?, ${envelopePlaceholders})`
const selectErased = `select 1 from {p}log where position = (select partition * ${offsetSpan} + ?1 from {p}partition join {p}topic t using (topic)
  where t.name = ?2 and cast(number as text) = ?3) and source = ?4 and id = ?5 and type = '${erasedType}'`
const selectDue = `select parked, state, due_ms, attempts, crashes, lane, ${envelopeSelect} from {p}parked
  where subscription = ? and partition = ? and state = 'waiting' and due_ms <= ? order by due_ms, parked ${limited}`

export class SqliteParkedStore implements ParkedStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions

  constructor(statements: Statements, subscriptions: Subscriptions) {
    this.#statements = statements
    this.#subscriptions = subscriptions
  }

  park(subscription: Subscription, partition: string, messages: readonly NewParked[], nowMs: number): void {
    const number = this.#subscriptions.number(subscription)
    for (const message of messages) {
      if (this.#isParked(number, message.envelope) || this.#isErased(subscription.topic, partition, message)) continue
      const { lane, state, dueMs } =
        message.state === 'behind' && (message.lane === undefined || !this.holds(subscription, partition, message.lane))
          ? { lane: message.lane, state: 'waiting', dueMs: nowMs }
          : message
      const { lastInsertRowid } = this.#statements
        .sql(insertParked)
        .run(
          number,
          partition,
          lane ?? null,
          state,
          dueMs,
          message.attempts,
          message.crashes,
          nowMs,
          ...envelopeValues(subscription.topic, message.envelope),
        )
      for (const failure of message.failures ?? []) this.#attempt(lastInsertRowid, failure)
      if (message.state === 'attention' && message.reason !== undefined) this.#raise(lastInsertRowid, message.reason, nowMs)
    }
  }

  #isParked(subscription: number, { source, id, sequence, json }: Envelope): boolean {
    return (
      this.#statements
        .sql('select 1 from {p}parked where subscription = ? and source = ? and id = ? and sequence is ? and data = ?')
        .get(subscription, source, id, sequence ?? null, json) !== undefined
    )
  }

  /** Since it was read: what is left in the log has its identity. */
  #isErased(topic: string, partition: string, { envelope: { source, id }, offset }: NewParked): boolean {
    if (offset === undefined) return false
    return this.#statements.sql(selectErased).get(offset, topic, partition, source, id) !== undefined
  }

  due(
    subscription: Subscription,
    partition: string,
    nowMs: number,
    limit: number,
  ): (ParkedMessage & { lane: string | undefined })[] {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return []
    return this.#statements
      .sql(selectDue)
      .all<
        EnvelopeRow & {
          parked: number
          state: ParkedState
          due_ms: number
          attempts: number
          crashes: number
          lane: string | null
        }
      >(number, partition, nowMs, limit)
      .map((row) => ({
        row: BigInt(row.parked),
        state: row.state,
        dueMs: row.due_ms,
        attempts: row.attempts,
        crashes: row.crashes,
        lane: row.lane ?? undefined,
        envelope: envelopeOf(subscription.topic, row),
      }))
  }

  nextDueMs(subscription: Subscription, partition: string): number | undefined {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return undefined
    return (
      this.#statements
        .sql("select min(due_ms) as due from {p}parked where subscription = ? and partition = ? and state = 'waiting'")
        .get<{ due: number | null }>(number, partition)?.due ?? undefined
    )
  }

  anyOpen(subscription: Subscription, partition: string): boolean {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return false
    return (
      this.#statements
        .sql("select 1 from {p}parked where subscription = ? and partition = ? and state in ('waiting', 'calling') limit 1")
        .get(number, partition) !== undefined
    )
  }

  holds(subscription: Subscription, partition: string, lane: string): boolean {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return false
    return (
      this.#statements
        .sql('select 1 from {p}parked where subscription = ? and partition = ? and lane = ? limit 1')
        .get(number, partition, lane) !== undefined
    )
  }

  heldLanes(subscription: Subscription, partition: string): string[] {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return []
    return this.#statements
      .sql('select distinct lane from {p}parked where subscription = ? and partition = ? and lane is not null')
      .all<{ lane: string }>(number, partition)
      .map((row) => row.lane)
  }

  call(row: bigint): boolean {
    return (
      this.#statements.sql("update {p}parked set state = 'calling' where parked = ? and state in ('waiting', 'calling')").run(row)
        .changes === 1
    )
  }

  reclaim(subscription: Subscription, partition: string, nowMs: number): number {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return 0
    return this.#statements
      .sql("update {p}parked set state = 'waiting', due_ms = ? where subscription = ? and partition = ? and state = 'calling'")
      .run(nowMs, number, partition).changes
  }

  done(row: bigint, nowMs: number): boolean {
    return removeParked(this.#statements, row, nowMs)
  }

  failed(row: bigint, change: FailedTurn, nowMs: number): boolean {
    const before = this.#statements
      .sql('select subscription, partition, lane from {p}parked where parked = ?')
      .get<{ subscription: number; partition: string; lane: string | null }>(row)
    if (before === undefined) return false
    const { changes } = this.#statements
      .sql(
        `update {p}parked set state = ?, attempts = ?, crashes = ?, due_ms = ?, lane = iif(?, null, lane)
         where parked = ? and attempts = ? and due_ms = ? and state in ('waiting', 'calling')`,
      )
      .run(
        change.state,
        change.attempts,
        change.crashes,
        change.dueMs,
        change.release ? 1 : 0,
        row,
        change.before.attempts,
        change.before.dueMs,
      )
    if (changes === 0) return false
    if (change.failure !== undefined) this.#attempt(Number(row), change.failure)
    if (change.state === 'attention' && change.reason !== undefined) this.#raise(Number(row), change.reason, nowMs)
    if (change.release && before.lane !== null)
      releaseNext(this.#statements, before.subscription, before.partition, before.lane, nowMs)
    return true
  }

  #attempt(parked: number, failure: AttemptRecord): void {
    this.#statements
      .sql(
        `insert into {p}attempt (parked, turn, attempt, at_ms, error_name, error_message, error_stack)
         select ?1, coalesce(max(turn), 0) + 1, ?2, ?3, ?4, ?5, ?6 from {p}attempt where parked = ?1`,
      )
      .run(parked, failure.attempt, failure.atMs, failure.errorName, failure.errorMessage, failure.errorStack)
    this.#statements
      .sql('delete from {p}attempt where parked = ?1 and turn <= (select max(turn) from {p}attempt where parked = ?1) - ?2')
      .run(parked, keptAttempts)
  }

  #raise(parked: number, reason: AttentionReason, nowMs: number): void {
    this.#statements
      .sql(
        `insert into {p}attention (parked, subscription, partition, kind, state, fingerprint, error_name, error_message, error_stack, attempts, crashes, since_ms, ${envelopeColumns})
         select parked, subscription, partition, ?, 'open', ?, ?, ?, ?, attempts, crashes, ?, ${envelopeColumns} from {p}parked where parked = ?`,
      )
      .run(reason.kind, reason.fingerprint, reason.errorName, reason.errorMessage, reason.errorStack, nowMs, parked)
  }
}

/** Takes a message off the list; the next of its lane becomes due. False: it was not there. */
export function removeParked(statements: Statements, row: bigint | number, nowMs: number): boolean {
  const removed = statements
    .sql('delete from {p}parked where parked = ? returning subscription, partition, lane')
    .get<{ subscription: number; partition: string; lane: string | null }>(row)
  if (removed === undefined) return false
  // What attention shows keeps its history; the rest is done with.
  statements
    .sql('delete from {p}attempt where parked = ?1 and not exists (select 1 from {p}attention where parked = ?1)')
    .run(row)
  if (removed.lane !== null) releaseNext(statements, removed.subscription, removed.partition, removed.lane, nowMs)
  return true
}

function releaseNext(statements: Statements, subscription: number, partition: string, lane: string, nowMs: number): void {
  statements
    .sql(
      `update {p}parked set state = 'waiting', due_ms = ?1 where state = 'behind' and parked =
         (select min(parked) from {p}parked where subscription = ?2 and partition = ?3 and lane = ?4)`,
    )
    .run(nowMs, subscription, partition, lane)
}

export class SqliteStartMarkStore implements StartMarkStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions

  constructor(statements: Statements, subscriptions: Subscriptions) {
    this.#statements = statements
    this.#subscriptions = subscriptions
  }

  begin(subscription: Subscription, partition: string, identity: string, { epoch }: { readonly epoch: bigint }): number {
    return (
      this.#statements
        .sql(
          `insert into {p}start_mark (subscription, partition, identity, starts, epoch) values (?, ?, ?, 1, ?)
           on conflict do update set starts = starts + (epoch <> excluded.epoch), epoch = excluded.epoch returning starts`,
        )
        .get<{ starts: number }>(this.#subscriptions.number(subscription), partition, identity, epoch)?.starts ?? 1
    )
  }

  clear(subscription: Subscription, partition: string, identity: string): void {
    this.#statements
      .sql('delete from {p}start_mark where subscription = ? and partition = ? and identity = ?')
      .run(this.#subscriptions.number(subscription), partition, identity)
  }

  list(subscription: Subscription, partition: string): { identity: string; starts: number }[] {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return []
    return this.#statements
      .sql('select identity, starts from {p}start_mark where subscription = ? and partition = ?')
      .all(number, partition)
  }
}
