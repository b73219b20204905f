import type { Erased, ErasePart, EraseStore, EraseTarget, ErasureRecord } from '../../erase/erase-store.ts'
import { erasedType } from '../../message.ts'
import { parseJson } from '../../parse-json.ts'
import { erasedLease } from './call-store.ts'
import type { StoreContext } from './known.ts'
import { leaseName, lockLeases } from './lease-lock.ts'
import { removeParked } from './parked-store.ts'
import { numberOf, numberOrNull, storable, textOf } from './sql.ts'

/** Rows looked at by one read. */
const stretch = 5_000

type How = Parameters<EraseStore['erase']>[3]

const ofSubscriptions = {
  column: 'subscription',
  ofTopic: 'in (select subscription from {s}.subscription where topic = $3::text)',
}
/** Looked through from the newest row down, as no index on keys is kept for them. */
const tables = {
  scheduled: { table: 'schedule', column: 'topic', ofTopic: 'in (select topic from {s}.topic where name = $3::text)' },
  outbox: { table: 'outbox', column: 'topic', ofTopic: '= $3::text' },
  parked: { table: 'parked', ...ofSubscriptions },
  attention: { table: 'attention', ...ofSubscriptions },
} as const

/** What is left of a message: its place, its identity and its time. */
const nothing = `key = null, type = '${erasedType}', headers = null, data = 'null'`
const those = '(select json_array_elements_text($1::json)::bigint)'

/**
 * Transactions that are open while it runs may move what is to be erased; none gets past it:
 *
 * - A delayed message on its way into the log, and an outbox row being removed, are locked by who moves them: the delete here waits,
 *   finds nothing, and what was moved is found in the part that comes next.
 * - A consumer that has read a message and parks it later locks its row in the log for that (`PostgresParkedStore.park`). Either the
 *   row is emptied when that has committed, and what was parked is there to be found; or it was emptied before, and nothing is
 *   parked. This holds for messages of this database's log only: what a broker elsewhere has handed over may be parked later.
 * - What is parked, its attention items and intents of its calls change under the partition's lease, which is locked here first.
 *   When a parked message is gone no call of it begins.
 * - An answer of a call that comes later finds the call without its lease, and is not kept.
 *
 * What is emptied or deleted stays in the server's files until VACUUM, and in its write-ahead log, replicas and backups.
 */
export class PostgresEraseStore implements EraseStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async knows(topic: string): Promise<boolean> {
    const row = await this.#context.sql.row(
      `select exists (select 1 from {s}.topic where name = $1::text) or exists (select 1 from {s}.subscription where topic = $1::text)
         or exists (select 1 from {s}.outbox where topic = $1::text) as known`,
      topic,
    )
    return row?.known === true
  }

  async begin({ topic, keySalt, keyDigest, by, reason, atMs }: ErasureRecord): Promise<number> {
    const row = await this.#context.sql.row(
      `insert into {s}.erasure (topic, key_salt, key_digest, by, reason, at_ms)
       values ($1::text, decode($2::text, 'hex'), decode($3::text, 'hex'), $4::text, $5::text, $6::bigint) returning erasure`,
      topic,
      Buffer.from(keySalt).toString('hex'),
      Buffer.from(keyDigest).toString('hex'),
      storable(by),
      reason === undefined ? null : storable(reason),
      Math.floor(atMs),
    )
    return numberOf(row?.erasure)
  }

  async count(erasure: number, rows: number): Promise<void> {
    await this.#context.sql.rows('update {s}.erasure set rows = rows + $2::bigint where erasure = $1::bigint', erasure, rows)
  }

  async finish(erasure: number, atMs: number): Promise<void> {
    await this.#context.sql.rows(
      'update {s}.erasure set finished_ms = $2::bigint where erasure = $1::bigint',
      erasure,
      Math.floor(atMs),
    )
  }

  async find(
    part: ErasePart,
    { topic, key }: EraseTarget,
    cursor: number | undefined,
  ): Promise<{ rows: number[]; next: number | undefined }> {
    if (part === 'messages') return await this.#findInLog(topic, key, cursor ?? 0)
    if (part === 'calls') return await this.#findCalls(topic, key)
    const { table, column, ofTopic } = tables[part]
    const row = await this.#context.sql.row(
      `with stretch as materialized (
         select ${table} as number, key, ${column} as owner from {s}.${table} where ${table} < $1::bigint
         order by ${table} desc limit ${stretch})
       select min(number) as low, (json_agg(number order by number desc) filter (where key = $2::text and owner ${ofTopic}))::text as rows
       from stretch`,
      cursor ?? Number.MAX_SAFE_INTEGER,
      key,
      topic,
    )
    return { rows: parseJson(textOf(row?.rows ?? '[]')) as number[], next: numberOrNull(row?.low) ?? undefined }
  }

  /** Every partition: where a key lies depends on how many there were when the message came. */
  async #findInLog(topic: string, key: string, after: number): Promise<{ rows: number[]; next: number | undefined }> {
    const row = await this.#context.sql.row(
      `with stretch as materialized (
         select message, key, partition from {s}.log where message > $2::bigint order by message limit ${stretch})
       select max(message) as high, (json_agg(message order by message) filter (where key = $1::text and partition in (
         select p.partition from {s}.partition p join {s}.topic t on t.topic = p.topic where t.name = $3::text)))::text as rows
       from stretch`,
      key,
      after,
      topic,
    )
    return { rows: parseJson(textOf(row?.rows ?? '[]')) as number[], next: numberOrNull(row?.high) ?? undefined }
  }

  /** The journal's rows have no number of their own: each is told by its subscription's. */
  async #findCalls(topic: string, key: string): Promise<{ rows: number[]; next: undefined }> {
    const rows = await this.#context.sql.rows(
      `select subscription from {s}.call where key = $1::text and subscription in (
         select subscription from {s}.subscription where topic = $2::text) order by subscription`,
      key,
      topic,
    )
    return { rows: rows.map((row) => numberOf(row.subscription)), next: undefined }
  }

  async revisionsOf(rows: readonly number[]): Promise<number> {
    return await this.#context.sql.count(
      `select 1 from {s}.revision where attention in ${those} and before <> 'null'`,
      JSON.stringify(rows.map(String)),
    )
  }

  async erase(part: ErasePart, target: EraseTarget, rows: readonly number[], how: How): Promise<Partial<Erased>> {
    this.#context.touched.add(target.topic)
    const list = JSON.stringify(rows.map(String))
    switch (part) {
      case 'scheduled':
      case 'outbox':
        return { [part]: await this.#change(tables[part].table, 'delete', target, list) }
      case 'messages':
        return { messages: await this.#change('log', 'empty', target, list) }
      case 'parked':
        return await this.#unpark(target, list, how)
      case 'attention':
        await this.#lockLeases('attention', list)
        return await this.#close(target, list, how)
      case 'calls':
        return { calls: await this.#forget(target, rows) }
    }
  }

  /** Locked in order first, as everybody does: two who change many rows must not wait in a circle. */
  async #change(
    table: 'schedule' | 'outbox' | 'log',
    change: 'delete' | 'empty',
    { key }: EraseTarget,
    list: string,
  ): Promise<number> {
    const number = table === 'log' ? 'message' : table
    const changed =
      change === 'delete' ? `delete from {s}.${table} t using held` : `update {s}.${table} t set ${nothing} from held`
    return await this.#context.sql.count(
      `with held as materialized (
         select ${number} from {s}.${table} where ${number} in ${those} and key = $2::text order by ${number} for update)
       ${changed} where t.${number} = held.${number} returning 1`,
      list,
      key,
    )
  }

  async #lockLeases(table: 'parked' | 'attention', list: string): Promise<void> {
    await lockLeases(
      this.#context.sql,
      `select ${leaseName} from {s}.${table} k join {s}.subscription s on s.subscription = k.subscription where k.${table} in ${those}`,
      list,
    )
  }

  /** With its attention items, if it has any: never is one there without the other. */
  async #unpark(target: EraseTarget, list: string, how: How): Promise<Partial<Erased>> {
    const { sql } = this.#context
    await this.#lockLeases('parked', list)
    // Some may have been applied, and be gone, since they were found. Their numbers are not given again.
    const parked = await sql.rows(`select parked from {s}.parked where parked in ${those} and key = $2::text`, list, target.key)
    const numbers = parked.map((row) => numberOf(row.parked))
    const items = await sql.rows(
      `select attention from {s}.attention where parked in ${those} and key = $2::text`,
      JSON.stringify(numbers.map(String)),
      target.key,
    )
    const closed = await this.#close(target, JSON.stringify(items.map((row) => String(numberOf(row.attention)))), how)
    await removeParked(sql, numbers, how.nowMs)
    return { parked: numbers.length, ...closed }
  }

  async #close({ key }: EraseTarget, list: string, { by, reason = 'erased', nowMs }: How): Promise<Partial<Erased>> {
    const row = await this.#context.sql.row(
      `with closed as (
         update {s}.attention set error_message = '', error_stack = '', ${nothing},
           state = case when state = 'open' then 'discarded' else state end, by = case when state = 'open' then $3::text else by end,
           reason = case when state = 'open' then $4::text else reason end,
           closed_ms = case when state = 'open' then $5::bigint else closed_ms end
         where attention in ${those} and key = $2::text returning attention, parked),
       revised as (
         update {s}.revision set before = 'null', after = 'null'
         where attention in (select attention from closed) and before <> 'null' returning 1),
       noted as (update {s}.audit set details = null where attention in (select attention from closed)),
       forgotten as (delete from {s}.attempt where parked in (select parked from closed))
       select (select count(*) from closed) as attention, (select count(*) from revised) as revisions`,
      list,
      key,
      storable(by),
      storable(reason),
      Math.floor(nowMs),
    )
    return { attention: numberOf(row?.attention ?? 0), revisions: numberOf(row?.revisions ?? 0) }
  }

  async #forget({ key }: EraseTarget, numbers: readonly number[]): Promise<number> {
    return await this.#context.sql.count(
      `with held as materialized (
         select subscription, identity, name, round from {s}.call where key = $2::text and subscription in ${those}
         order by subscription, identity, name, round limit $3::int for update)
       update {s}.call c set key = null, result = null, lease = '${erasedLease}',
         error_message = case when error_message is null then null else '' end
       from held where c.subscription = held.subscription and c.identity = held.identity and c.name = held.name and c.round = held.round
       returning 1`,
      JSON.stringify([...new Set(numbers)].map(String)),
      key,
      numbers.length,
    )
  }
}
