import type { CallRule } from '../../call.ts'
import type { CallIntent, CallRecord, CallSettlement, CallState, CallStore } from '../../calls/call-store.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Lease } from '../../ownership/ownership-store.ts'
import type { ProcessReference } from '../../runtime.ts'
import type { SqlRow } from './client.ts'
import type { StoreContext } from './known.ts'
import { bigintOf, numberOf, numberOrNull, storable, textOf, textOrUndefined } from './sql.ts'
import type { Subscriptions } from './subscriptions.ts'

const columns = `name, round, state, rule, token, requests, lease, epoch, pid, host, started_at, intent_ms, settled_ms, settled_by,
  result, error_name, error_code, error_message`

/** In place of the lease of a call whose message was erased: an answer still on its way is not to be remembered. */
export const erasedLease = ''

/** The identity of a parked message, as `identityOf` writes it. */
export const parkedIdentity = "case when sequence is null then source || '/' || id else source || '#' || sequence end"

export class PostgresCallStore implements CallStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions

  constructor(context: StoreContext, subscriptions: Subscriptions) {
    this.#context = context
    this.#subscriptions = subscriptions
  }

  async get(subscription: Subscription, identity: string): Promise<CallRecord[]> {
    const newest = new Map((await this.history(subscription, identity)).map((record) => [record.name, record]))
    return [...newest.values()]
  }

  async history(subscription: Subscription, identity: string): Promise<CallRecord[]> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return []
    const rows = await this.#context.sql.rows(
      `select ${columns} from {s}.call where subscription = $1::int and identity = $2::text order by name, round`,
      number,
      identity,
    )
    return rows.map(recordOf)
  }

  /** All of them in one statement: where a round is settled, the guard of the update answers no row for it. */
  async intend(
    subscription: Subscription,
    identity: string,
    intents: readonly CallIntent[],
    { lease, process, nowMs, key }: { lease: Lease; process: ProcessReference; nowMs: number; key?: string | undefined },
  ): Promise<void> {
    if (intents.length === 0) return
    const rows = await this.#context.sql.rows(
      `insert into {s}.call as c (subscription, identity, name, round, state, rule, token, requests, lease, epoch, pid, host, started_at,
         intent_ms, generation, key)
       select $1::int, $2::text, r.name, r.round, 'intent', r.rule, r.token, 1, $4::text, $5::bigint, $6::int, $7::text, $8::text, $9::bigint,
         (select coalesce(max(g.generation), 0) from {s}.dedup_window w join {s}.generation g on g.dedup = w.dedup
          where w.topic = $10::text and w.grp in ('', $11::text)), $12::text
       from json_to_recordset($3::json) as r (name text, round int, rule text, token text) order by r.name, r.round
       on conflict (subscription, identity, name, round) do update set state = 'intent', rule = excluded.rule, requests = c.requests + 1,
         lease = excluded.lease, epoch = excluded.epoch, pid = excluded.pid, host = excluded.host, started_at = excluded.started_at,
         intent_ms = excluded.intent_ms, settled_ms = null, settled_by = null, error_name = null, error_code = null, error_message = null
       where c.state in ('intent', 'unknown', 'did-not-happen') returning name, round`,
      await this.#subscriptions.number(subscription),
      identity,
      JSON.stringify(intents.map(({ name, round, rule, token }) => ({ name, round, rule, token }))),
      lease.name,
      lease.epoch.toString(),
      process.pid,
      process.host,
      process.startedAt,
      Math.floor(nowMs),
      subscription.topic,
      subscription.group,
      key ?? null,
    )
    if (rows.length === intents.length) return
    const open = new Set(rows.map((row) => `${numberOf(row.round)} ${textOf(row.name)}`))
    const settled = intents.find(({ name, round }) => !open.has(`${round} ${name}`))
    throw new Error(`round ${settled?.round} of call ${settled?.name} for ${identity} is settled; it cannot be made again`)
  }

  async settle(
    subscription: Subscription,
    identity: string,
    call: { readonly name: string; readonly round: number },
    settlement: CallSettlement,
    { by, nowMs }: { by: string; nowMs: number },
  ): Promise<boolean> {
    const error = 'error' in settlement ? settlement.error : undefined
    const settled = await this.#context.sql.count(
      `update {s}.call set state = $5::text, settled_ms = $6::bigint, settled_by = $7::text, result = $8::text, error_name = $9::text,
         error_code = $10::text, error_message = $11::text
       where subscription = $1::int and identity = $2::text and name = $3::text and round = $4::int
         and state in ('intent', 'unknown') and lease <> '${erasedLease}' returning 1`,
      await this.#subscriptions.number(subscription),
      identity,
      call.name,
      call.round,
      settlement.state,
      Math.floor(nowMs),
      storable(by),
      settlement.state === 'happened' ? (settlement.result ?? null) : null,
      error === undefined ? null : storable(error.name),
      error === undefined ? null : storable(error.code),
      error === undefined ? null : storable(error.message),
    )
    return settled === 1
  }

  async renewRounds(subscription: Subscription, identity: string): Promise<void> {
    await this.#context.sql.rows(
      `update {s}.call c set state = 'voided' where subscription = $1::int and identity = $2::text and state in ('did-not-happen', 'failed')
       and round = (select max(round) from {s}.call n
         where n.subscription = c.subscription and n.identity = c.identity and n.name = c.name)`,
      await this.#subscriptions.number(subscription),
      identity,
    )
  }

  async openNames(subscription: Subscription): Promise<string[]> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return []
    const rows = await this.#context.sql.rows(
      `select distinct name collate "C" as name from {s}.call where subscription = $1::int
       and identity in (select ${parkedIdentity} from {s}.parked where subscription = $1::int) order by 1`,
      number,
    )
    return rows.map((row) => textOf(row.name))
  }
}

function recordOf(row: SqlRow): CallRecord {
  return {
    name: textOf(row.name),
    round: numberOf(row.round),
    state: row.state as CallState,
    rule: row.rule as CallRule,
    token: textOf(row.token),
    requests: numberOf(row.requests),
    lease: { name: textOf(row.lease), epoch: bigintOf(row.epoch) },
    process: { pid: numberOf(row.pid), host: textOf(row.host), startedAt: textOf(row.started_at) },
    intentMs: numberOf(row.intent_ms),
    settledMs: numberOrNull(row.settled_ms) ?? undefined,
    settledBy: textOrUndefined(row.settled_by),
    result: textOrUndefined(row.result),
    error:
      row.error_name === null
        ? undefined
        : { name: textOf(row.error_name), code: textOf(row.error_code ?? ''), message: textOf(row.error_message ?? '') },
  }
}
