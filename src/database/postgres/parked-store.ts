import type {
  FailedTurn,
  NewParked,
  ParkedMessage,
  ParkedState,
  ParkedStore,
  StartMarkStore,
} from '../../consume/parked-store.ts'
import { keptAttempts } from '../../consume/parked-store.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import { erasedType } from '../../message.ts'
import { envelopeColumns, envelopeJson, envelopeOf, envelopeRecord, envelopeSelect } from './envelope-row.ts'
import type { StoreContext } from './known.ts'
import { attemptJson, reasonJson, reasonRecord, unrepeated } from './parked-json.ts'
import type { Sql } from './sql.ts'
import { bigintOf, numberOf, numberOrNull, textOf, textOrUndefined } from './sql.ts'
import type { Subscriptions } from './subscriptions.ts'

const attemptColumns = 'attempt, at_ms, error_name, error_message, error_stack'
const attemptRecord = 'attempt int, at_ms bigint, error_name text, error_message text, error_stack text'
const reasonColumns = 'kind, fingerprint, error_name, error_message, error_stack'

/**
 * The next of a lane becomes due. `from` has the rows that were taken out of it: parked, subscription, partition, lane. They are
 * still there for this statement, which sees what was there when it began.
 */
const releaseNext = (from: string, nowMs: string): string =>
  `update {s}.parked k set state = 'waiting', due_ms = ${nowMs} where k.state = 'behind' and k.parked in (
     select (select o.parked from {s}.parked o where o.subscription = l.subscription and o.partition = l.partition and o.lane = l.lane
       and not exists (select 1 from ${from} g where g.parked = o.parked) order by o.parked limit 1)
     from (select distinct subscription, partition, lane from ${from} where lane is not null) l)`

/**
 * Whoever calls holds the lease row of the partition: its owner by `guard`, all others by `lockLeases`. So what is read here stays
 * so until COMMIT, and rows of a lane are in the order of their numbers.
 */
export class PostgresParkedStore implements ParkedStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions

  constructor(context: StoreContext, subscriptions: Subscriptions) {
    this.#context = context
    this.#subscriptions = subscriptions
  }

  /**
   * Rows of the log are locked until COMMIT: an erasure waits, and then finds what was parked; or it was first, and is seen here,
   * whatever snapshot this statement has.
   */
  async park(subscription: Subscription, partition: string, messages: readonly NewParked[], nowMs: number): Promise<void> {
    if (messages.length === 0) return
    const number = await this.#subscriptions.number(subscription)
    const given = unrepeated(messages).map((message, n) => ({
      n,
      lane: message.lane ?? null,
      state: message.state,
      due_ms: Math.floor(message.dueMs),
      attempts: message.attempts,
      crashes: message.crashes,
      offset: message.offset?.toString() ?? null,
      failures: message.failures === undefined || message.failures.length === 0 ? null : attemptJson(message.failures),
      ...(message.state === 'attention' ? reasonJson(message.reason) : {}),
      ...envelopeJson(subscription.topic, message.envelope),
    }))
    await this.#context.sql.rows(
      `with given as materialized (
         select * from json_to_recordset($5::json) as r (n int, lane text, state text, due_ms bigint, attempts int, crashes int,
           "offset" bigint, failures json, ${reasonRecord}, ${envelopeRecord})),
       in_log as materialized (
         select g.n, l.type from given g join {s}.topic t on t.name = $2::text
           join {s}.partition p on p.topic = t.topic and p.number::text = $3::text
           cross join lateral (select o.messages[g."offset" - o.first + 1] as message from {s}.log_position o
             where o.partition = p.partition and o.last >= g."offset" order by o.last limit 1) o
           join {s}.log l on l.message = o.message and l.source = g.source and l.id = g.id order by l.message for share of l),
       fresh as materialized (
         select g.*, row_number() over (order by g.n) as place, row_number() over (partition by g.lane order by g.n) as in_lane
         from given g where g.n not in (select n from in_log where type = '${erasedType}') and not exists (
           select 1 from {s}.parked k where k.subscription = $1::int and k.source = g.source and k.id = g.id
             and k.sequence is not distinct from g.sequence and k.data = g.data)),
       standing as (
         select f.*, f.state = 'behind' and (f.lane is null or f.in_lane = 1 and not exists (select 1 from {s}.parked k
           where k.subscription = $1::int and k.partition = $3::text and k.lane = f.lane)) as first from fresh f),
       inserted as (
         insert into {s}.parked (subscription, partition, lane, state, due_ms, attempts, crashes, parked_ms, ${envelopeColumns})
         select $1::int, $3::text, lane, case when first then 'waiting' else state end, case when first then $4::bigint else due_ms end,
           attempts, crashes, $4::bigint, ${envelopeColumns} from standing order by place returning parked),
       placed as materialized (
         select f.*, i.parked from fresh f join (select parked, row_number() over (order by parked) as place from inserted) i using (place)),
       attempts as (
         insert into {s}.attempt (parked, turn, ${attemptColumns}) select p.parked, a.turn, a.attempt, a.at_ms, a.error_name, a.error_message,
           a.error_stack from placed p cross join lateral json_to_recordset(p.failures) as a (turn int, ${attemptRecord}))
       insert into {s}.attention (parked, subscription, partition, state, attempts, crashes, since_ms, ${reasonColumns}, ${envelopeColumns})
       select parked, $1::int, $3::text, 'open', attempts, crashes, $4::bigint, ${reasonColumns}, ${envelopeColumns}
       from placed where kind is not null order by parked`,
      number,
      subscription.topic,
      partition,
      Math.floor(nowMs),
      JSON.stringify(given),
    )
  }

  async due(
    subscription: Subscription,
    partition: string,
    nowMs: number,
    limit: number,
  ): Promise<(ParkedMessage & { lane: string | undefined })[]> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return []
    const rows = await this.#context.sql.rows(
      `select parked, state, due_ms, attempts, crashes, lane, ${envelopeSelect} from {s}.parked
       where subscription = $1::int and partition = $2::text and state = 'waiting' and due_ms <= $3::bigint
       order by due_ms, parked limit $4::int`,
      number,
      partition,
      Math.floor(nowMs),
      limit,
    )
    return rows.map((row) => ({
      row: bigintOf(row.parked),
      state: row.state as ParkedState,
      dueMs: numberOf(row.due_ms),
      attempts: numberOf(row.attempts),
      crashes: numberOf(row.crashes),
      lane: textOrUndefined(row.lane),
      envelope: envelopeOf(subscription.topic, row),
    }))
  }

  async nextDueMs(subscription: Subscription, partition: string): Promise<number | undefined> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return undefined
    const row = await this.#context.sql.row(
      `select min(due_ms) as due from {s}.parked where subscription = $1::int and partition = $2::text and state = 'waiting'`,
      number,
      partition,
    )
    return numberOrNull(row?.due) ?? undefined
  }

  async anyOpen(subscription: Subscription, partition: string): Promise<boolean> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return false
    const row = await this.#context.sql.row(
      `select 1 as found from {s}.parked where subscription = $1::int and partition = $2::text and state in ('waiting', 'calling') limit 1`,
      number,
      partition,
    )
    return row !== undefined
  }

  async holds(subscription: Subscription, partition: string, lane: string): Promise<boolean> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return false
    const row = await this.#context.sql.row(
      'select 1 from {s}.parked where subscription = $1::int and partition = $2::text and lane = $3::text limit 1',
      number,
      partition,
      lane,
    )
    return row !== undefined
  }

  async heldLanes(subscription: Subscription, partition: string): Promise<string[]> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return []
    const rows = await this.#context.sql.rows(
      'select distinct lane from {s}.parked where subscription = $1::int and partition = $2::text and lane is not null',
      number,
      partition,
    )
    return rows.map((row) => textOf(row.lane))
  }

  async call(row: bigint): Promise<boolean> {
    const called = await this.#context.sql.count(
      `update {s}.parked set state = 'calling' where parked = $1::bigint and state in ('waiting', 'calling') returning 1`,
      row.toString(),
    )
    return called === 1
  }

  async reclaim(subscription: Subscription, partition: string, nowMs: number): Promise<number> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return 0
    return await this.#context.sql.count(
      `update {s}.parked set state = 'waiting', due_ms = $3::bigint
       where subscription = $1::int and partition = $2::text and state = 'calling' returning 1`,
      number,
      partition,
      Math.floor(nowMs),
    )
  }

  async done(row: bigint, nowMs: number): Promise<boolean> {
    return (await removeParked(this.#context.sql, [row], nowMs)) === 1
  }

  async failed(row: bigint, change: FailedTurn, nowMs: number): Promise<boolean> {
    const { failure, reason } = change
    const given = {
      state: change.state,
      attempts: change.attempts,
      crashes: change.crashes,
      due_ms: Math.floor(change.dueMs),
      release: change.release,
      attempts_before: change.before.attempts,
      due_before: change.before.dueMs,
      failure: failure === undefined ? null : attemptJson([failure])[0],
      reason: change.state === 'attention' && reason !== undefined ? reasonJson(reason) : null,
    }
    const changed = await this.#context.sql.count(
      `with given as materialized (select * from json_to_record($3::json) as r (state text, attempts int, crashes int, due_ms bigint,
         release boolean, attempts_before int, due_before bigint, failure json, reason json)),
       changed as (
         update {s}.parked k set state = g.state, attempts = g.attempts, crashes = g.crashes, due_ms = g.due_ms,
           lane = case when g.release then null else k.lane end
         from given g, {s}.parked b where k.parked = $1::bigint and b.parked = k.parked and k.attempts = g.attempts_before
           and k.due_ms = g.due_before and k.state in ('waiting', 'calling')
         returning k.*, case when g.release then b.lane end as released, g.failure, g.reason),
       kept as (select coalesce(max(turn), 0) as turns from {s}.attempt where parked = $1::bigint),
       added as (
         insert into {s}.attempt (parked, turn, ${attemptColumns}) select c.parked, kept.turns + 1, a.attempt, a.at_ms, a.error_name,
           a.error_message, a.error_stack from changed c cross join kept cross join lateral json_to_record(c.failure) as a (${attemptRecord})
           where c.failure is not null),
       trimmed as (
         delete from {s}.attempt a using changed c, kept
         where c.failure is not null and a.parked = c.parked and a.turn <= kept.turns + 1 - ${keptAttempts}),
       raised as (
         insert into {s}.attention (parked, subscription, partition, state, attempts, crashes, since_ms, ${reasonColumns}, ${envelopeColumns})
         select c.parked, c.subscription, c.partition, 'open', c.attempts, c.crashes, $2::bigint, a.kind, a.fingerprint, a.error_name,
           a.error_message, a.error_stack, c.source, c.id, c.sequence, c.key, c.type, c.time_ms, c.headers, c.data
         from changed c cross join lateral json_to_record(c.reason) as a (${reasonRecord}) where c.reason is not null),
       let_go as (select parked, subscription, partition, released as lane from changed),
       released as (${releaseNext('let_go', '$2::bigint')})
       select 1 from changed`,
      row.toString(),
      Math.floor(nowMs),
      JSON.stringify(given),
    )
    return changed === 1
  }
}

/** Takes messages off the list; the next of each lane becomes due. Answers how many were there. */
export async function removeParked(sql: Sql, rows: readonly (bigint | number)[], nowMs: number): Promise<number> {
  return await sql.count(
    `with gone as (
       delete from {s}.parked where parked in (select json_array_elements_text($1::json)::bigint)
       returning parked, subscription, partition, lane),
     -- What attention shows keeps its history; the rest is done with.
     forgotten as (
       delete from {s}.attempt a using gone g
       where a.parked = g.parked and not exists (select 1 from {s}.attention i where i.parked = g.parked)),
     released as (${releaseNext('gone', '$2::bigint')})
     select 1 from gone`,
    JSON.stringify(rows.map(String)),
    Math.floor(nowMs),
  )
}

export class PostgresStartMarkStore implements StartMarkStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions

  constructor(context: StoreContext, subscriptions: Subscriptions) {
    this.#context = context
    this.#subscriptions = subscriptions
  }

  async begin(
    subscription: Subscription,
    partition: string,
    identity: string,
    { epoch }: { readonly epoch: bigint },
  ): Promise<number> {
    const row = await this.#context.sql.row(
      `insert into {s}.start_mark as m (subscription, partition, identity, starts, epoch) values ($1::int, $2::text, $3::text, 1, $4::bigint)
       on conflict (subscription, partition, identity) do update set starts = m.starts + (m.epoch <> excluded.epoch)::int,
         epoch = excluded.epoch returning starts`,
      await this.#subscriptions.number(subscription),
      partition,
      identity,
      epoch.toString(),
    )
    return numberOf(row?.starts ?? 1)
  }

  async clear(subscription: Subscription, partition: string, identity: string): Promise<void> {
    await this.#context.sql.rows(
      'delete from {s}.start_mark where subscription = $1::int and partition = $2::text and identity = $3::text',
      await this.#subscriptions.number(subscription),
      partition,
      identity,
    )
  }

  async list(subscription: Subscription, partition: string): Promise<{ identity: string; starts: number }[]> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return []
    const rows = await this.#context.sql.rows(
      'select identity, starts from {s}.start_mark where subscription = $1::int and partition = $2::text order by identity',
      number,
      partition,
    )
    return rows.map((row) => ({ identity: textOf(row.identity), starts: numberOf(row.starts) }))
  }
}
