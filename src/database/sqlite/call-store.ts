import type { CallRule } from '../../call.ts'
import type { CallIntent, CallRecord, CallSettlement, CallState, CallStore } from '../../calls/call-store.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Lease } from '../../ownership/ownership-store.ts'
import type { ProcessReference } from '../../runtime.ts'
import type { Statements } from './statements.ts'
import type { Subscriptions } from './subscriptions.ts'

interface CallRow {
  readonly name: string
  readonly round: number
  readonly state: CallState
  readonly rule: CallRule
  readonly token: string
  readonly requests: number
  readonly lease: string
  readonly epoch: number
  readonly pid: number
  readonly host: string
  readonly started_at: string
  readonly intent_ms: number
  readonly settled_ms: number | null
  readonly settled_by: string | null
  readonly result: string | null
  readonly error_name: string | null
  readonly error_code: string | null
  readonly error_message: string | null
}

const columns = `name, round, state, rule, token, requests, lease, epoch, pid, host, started_at, intent_ms, settled_ms, settled_by,
  result, error_name, error_code, error_message`

/** In place of the lease of a call whose message was erased: an answer still on its way is not to be remembered. */
export const erasedLease = ''

/** The identity of a parked message, as `identityOf` writes it. */
export const parkedIdentity = "iif(sequence is null, source || '/' || id, source || '#' || sequence)"

const selectHistory = `select ${columns} from {p}call where subscription = ? and identity = ? order by name, round`
const settleCall = `update {p}call set state = ?, settled_ms = ?, settled_by = ?, result = ?, error_name = ?, error_code = ?, error_message = ?
  where subscription = ? and identity = ? and name = ? and round = ? and state in ('intent', 'unknown') and lease <> '${erasedLease}'`
const selectOpenNames = `select distinct name from {p}call where subscription = ?1
  and identity in (select ${parkedIdentity} from {p}parked where subscription = ?1) order by name`

export class SqliteCallStore implements CallStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions

  constructor(statements: Statements, subscriptions: Subscriptions) {
    this.#statements = statements
    this.#subscriptions = subscriptions
  }

  get(subscription: Subscription, identity: string): CallRecord[] {
    const newest = new Map(this.history(subscription, identity).map((record) => [record.name, record]))
    return [...newest.values()]
  }

  history(subscription: Subscription, identity: string): CallRecord[] {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return []
    return this.#statements.sql(selectHistory).all<CallRow>(number, identity).map(recordOf)
  }

  intend(
    subscription: Subscription,
    identity: string,
    intents: readonly CallIntent[],
    { lease, process, nowMs, key }: { lease: Lease; process: ProcessReference; nowMs: number; key?: string | undefined },
  ): void {
    this.#statements.assertInTransaction()
    const number = this.#subscriptions.number(subscription)
    const generation =
      this.#statements
        .sql(
          'select max(generation) as newest from {p}window join {p}generation using (window) where topic = ? and grp in (?, ?)',
        )
        .get<{ newest: number | null }>(subscription.topic, '', subscription.group)?.newest ?? 0
    for (const { name, round, rule, token } of intents) {
      const { changes } = this.#statements
        .sql(
          `insert into {p}call (subscription, identity, name, round, state, rule, token, requests, lease, epoch, pid, host, started_at, intent_ms, generation, key)
           values (?, ?, ?, ?, 'intent', ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?)
           on conflict do update set state = 'intent', rule = excluded.rule, requests = requests + 1, lease = excluded.lease,
             epoch = excluded.epoch, pid = excluded.pid, host = excluded.host, started_at = excluded.started_at,
             intent_ms = excluded.intent_ms, settled_ms = null, settled_by = null, error_name = null, error_code = null, error_message = null
           where state in ('intent', 'unknown', 'did-not-happen')`,
        )
        .run(
          number,
          identity,
          name,
          round,
          rule,
          token,
          lease.name,
          lease.epoch,
          process.pid,
          process.host,
          process.startedAt,
          nowMs,
          generation,
          key ?? null,
        )
      if (changes !== 1) throw new Error(`round ${round} of call ${name} for ${identity} is settled; it cannot be made again`)
    }
  }

  settle(
    subscription: Subscription,
    identity: string,
    call: { readonly name: string; readonly round: number },
    settlement: CallSettlement,
    { by, nowMs }: { by: string; nowMs: number },
  ): boolean {
    this.#statements.assertInTransaction()
    const error = 'error' in settlement ? settlement.error : undefined
    const { changes } = this.#statements
      .sql(settleCall)
      .run(
        settlement.state,
        nowMs,
        by,
        settlement.state === 'happened' ? (settlement.result ?? null) : null,
        error?.name ?? null,
        error?.code ?? null,
        error?.message ?? null,
        this.#subscriptions.number(subscription),
        identity,
        call.name,
        call.round,
      )
    return changes === 1
  }

  renewRounds(subscription: Subscription, identity: string): void {
    this.#statements.assertInTransaction()
    this.#statements
      .sql(
        `update {p}call as c set state = 'voided' where subscription = ? and identity = ? and state in ('did-not-happen', 'failed')
         and round = (select max(round) from {p}call n where n.subscription = c.subscription and n.identity = c.identity and n.name = c.name)`,
      )
      .run(this.#subscriptions.number(subscription), identity)
  }

  openNames(subscription: Subscription): string[] {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return []
    return this.#statements
      .sql(selectOpenNames)
      .all<{ name: string }>(number)
      .map((row) => row.name)
  }
}

function recordOf(row: CallRow): CallRecord {
  return {
    name: row.name,
    round: row.round,
    state: row.state,
    rule: row.rule,
    token: row.token,
    requests: row.requests,
    lease: { name: row.lease, epoch: BigInt(row.epoch) },
    process: { pid: row.pid, host: row.host, startedAt: row.started_at },
    intentMs: row.intent_ms,
    settledMs: row.settled_ms ?? undefined,
    settledBy: row.settled_by ?? undefined,
    result: row.result ?? undefined,
    error:
      row.error_name === null
        ? undefined
        : { name: row.error_name, code: row.error_code ?? '', message: row.error_message ?? '' },
  }
}
