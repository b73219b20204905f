import type { Erased, ErasePart, EraseStore, EraseTarget, ErasureRecord } from '../../erase/erase-store.ts'
import { erasedType } from '../../message.ts'
import { erasedLease } from './call-store.ts'
import type { SqlValue } from './connection.ts'
import { securely } from './overwrite.ts'
import { removeParked } from './parked-store.ts'
import { offsetSpan } from './schema.ts'
import type { Statements } from './statements.ts'

/** Rows looked at by one read, so that the event loop turns in between. */
const stretch = 5_000

type How = Parameters<EraseStore['erase']>[3]

const subscriptions = 'subscription in (select subscription from {p}subscription where topic = ?)'
/** Small tables, looked through from the newest row down: whoever waits behind another is removed before it. */
const tables = {
  scheduled: { table: 'schedule', ofTopic: 'topic = (select topic from {p}topic where name = ?)' },
  outbox: { table: 'outbox', ofTopic: 'topic = ?' },
  parked: { table: 'parked', ofTopic: subscriptions },
  attention: { table: 'attention', ofTopic: subscriptions },
} as const

/** What is left of a message: its place, its identity and its time. */
const nothing = `key = null, type = '${erasedType}', headers = null, data = 'null'`

export class SqliteEraseStore implements EraseStore {
  readonly #statements: Statements
  readonly #touched: Set<string>

  constructor(statements: Statements, touched: Set<string>) {
    this.#statements = statements
    this.#touched = touched
  }

  knows(topic: string): boolean {
    return (
      this.#statements
        .sql(
          `select 1 from {p}topic where name = ?1 union all select 1 from {p}subscription where topic = ?1
           union all select 1 from {p}outbox where topic = ?1 limit 1`,
        )
        .get(topic) !== undefined
    )
  }

  begin({ topic, keySalt, keyDigest, by, reason, atMs }: ErasureRecord): number {
    return this.#statements
      .sql('insert into {p}erasure (topic, key_salt, key_digest, by, reason, at_ms) values (?, ?, ?, ?, ?, ?)')
      .run(topic, keySalt, keyDigest, by, reason ?? null, atMs).lastInsertRowid
  }

  count(erasure: number, rows: number): void {
    this.#statements.sql('update {p}erasure set rows = rows + ? where erasure = ?').run(rows, erasure)
  }

  finish(erasure: number, atMs: number): void {
    this.#statements.sql('update {p}erasure set finished_ms = ? where erasure = ?').run(atMs, erasure)
  }

  find(part: ErasePart, target: EraseTarget, cursor: number | undefined): { rows: number[]; next: number | undefined } {
    if (part === 'messages') return this.#findInLog(target, cursor ?? 0)
    if (part === 'calls') return this.#findCalls(target)
    const { table, ofTopic } = tables[part]
    const below = cursor ?? Number.MAX_SAFE_INTEGER
    const low = this.#first(
      `select min(r) as value from (select ${table} as r from {p}${table} where ${table} < ? order by r desc limit ${stretch})`,
      below,
    )
    if (low === undefined) return { rows: [], next: undefined }
    const rows = this.#numbers(
      `select ${table} as value from {p}${table} where ${table} >= ? and ${table} < ? and key = ? and ${ofTopic} order by ${table} desc`,
      low,
      below,
      target.key,
      target.topic,
    )
    return { rows, next: low }
  }

  /** Every partition: where a key lies depends on how many there were when the message came. */
  #findInLog({ topic, key }: EraseTarget, after: number): { rows: number[]; next: number | undefined } {
    const partition = this.#first(
      `select min(partition) as value from {p}partition join {p}topic t using (topic) where t.name = ? and (partition + 1) * ${offsetSpan} - 1 > ?`,
      topic,
      after,
    )
    if (partition === undefined) return { rows: [], next: undefined }
    const from = Math.max(after, partition * offsetSpan)
    const end = (partition + 1) * offsetSpan
    const last = this.#first(
      `select max(p) as value from (select position as p from {p}log where position > ? and position < ? order by position limit ${stretch})`,
      from,
      end,
    )
    if (last === undefined) return { rows: [], next: end - 1 }
    const rows = this.#numbers(
      'select position as value from {p}log where position > ? and position <= ? and key = ? order by position',
      from,
      last,
      key,
    )
    return { rows, next: last }
  }

  /** The journal's rows have no number of their own: each is told by its subscription's. */
  #findCalls({ topic, key }: EraseTarget): { rows: number[]; next: undefined } {
    const rows = this.#numbers(`select subscription as value from {p}call where key = ? and ${subscriptions}`, key, topic)
    return { rows, next: undefined }
  }

  revisionsOf(rows: readonly number[]): number {
    let count = 0
    for (const row of rows)
      count += this.#first("select count(*) as value from {p}revision where attention = ? and before <> 'null'", row) ?? 0
    return count
  }

  erase(part: ErasePart, target: EraseTarget, rows: readonly number[], how: How): Partial<Erased> {
    this.#statements.assertInTransaction()
    this.#touched.add(target.topic)
    return securely(this.#statements.connection, () => {
      switch (part) {
        case 'scheduled':
        case 'outbox':
          return { [part]: this.#remove(tables[part].table, target, rows) }
        case 'messages':
          return { messages: this.#emptyLog(target, rows) }
        case 'parked':
          return this.#unpark(target, rows, how)
        case 'attention':
          return this.#close(target, rows, how)
        case 'calls':
          return { calls: this.#forget(target, rows) }
      }
    })
  }

  #remove(table: string, { key }: EraseTarget, rows: readonly number[]): number {
    const remove = this.#statements.sql(`delete from {p}${table} where ${table} = ? and key = ?`)
    return rows.reduce((sum, row) => sum + remove.run(row, key).changes, 0)
  }

  #emptyLog({ key }: EraseTarget, rows: readonly number[]): number {
    const empty = this.#statements.sql(`update {p}log set ${nothing} where position = ? and key = ?`)
    return rows.reduce((sum, row) => sum + empty.run(row, key).changes, 0)
  }

  /** With its attention items, if it has any: never is one there without the other. */
  #unpark(target: EraseTarget, rows: readonly number[], how: How): Partial<Erased> {
    let parked = 0
    let attention = 0
    let revisions = 0
    for (const row of rows) {
      // It may have been applied, and be gone, since it was found. Its number is not given again.
      if (this.#first('select 1 as value from {p}parked where parked = ? and key = ?', row, target.key) === undefined) continue
      const items = this.#numbers('select attention as value from {p}attention where parked = ? and key = ?', row, target.key)
      const closed = this.#close(target, items, how)
      removeParked(this.#statements, row, how.nowMs)
      parked++
      attention += closed.attention ?? 0
      revisions += closed.revisions ?? 0
    }
    return { parked, attention, revisions }
  }

  #close({ key }: EraseTarget, rows: readonly number[], { by, reason = 'erased', nowMs }: How): Partial<Erased> {
    let attention = 0
    let revisions = 0
    for (const row of rows) {
      const { changes } = this.#statements
        .sql(
          `update {p}attention set error_message = '', error_stack = '', ${nothing}, state = iif(state = 'open', 'discarded', state),
             by = iif(state = 'open', ?, by), reason = iif(state = 'open', ?, reason), closed_ms = iif(state = 'open', ?, closed_ms)
           where attention = ? and key = ?`,
        )
        .run(by, reason, nowMs, row, key)
      if (changes === 0) continue
      attention++
      revisions += this.#statements
        .sql("update {p}revision set before = 'null', after = 'null' where attention = ? and before <> 'null'")
        .run(row).changes
      this.#statements.sql('update {p}audit set details = null where attention = ?').run(row)
      this.#statements.sql('delete from {p}attempt where parked = (select parked from {p}attention where attention = ?)').run(row)
    }
    return { attention, revisions }
  }

  #forget({ key }: EraseTarget, numbers: readonly number[]): number {
    let calls = 0
    for (const [subscription, { length }] of Map.groupBy(numbers, (number) => number))
      calls += this.#statements
        .sql(
          `update {p}call set key = null, result = null, error_message = iif(error_message is null, null, ''), lease = '${erasedLease}'
           where (subscription, identity, name, round) in
             (select subscription, identity, name, round from {p}call where key = ?2 and subscription = ?1 limit ?3)`,
        )
        .run(subscription, key, length).changes
    return calls
  }

  #first(sql: string, ...values: SqlValue[]): number | undefined {
    return this.#statements.sql(sql).get<{ value: number | null }>(...values)?.value ?? undefined
  }

  #numbers(sql: string, ...values: SqlValue[]): number[] {
    return this.#statements
      .sql(sql)
      .all<{ value: number }>(...values)
      .map((row) => row.value)
  }
}
