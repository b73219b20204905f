import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Applied, Findings, Sent, Total } from './audit.ts'
import { addFindings, auditEffects } from './audit.ts'
import type { Webhook } from './webhooks.ts'

/**
 * The demo's own tables, in the same file as Onefold's. `event` and `summary` only ever grow and have no unique
 * constraint, so that a second application would show as a second row and in the totals.
 */
const schema = `
  create table sent (position integer primary key, delivery text not null, repository text not null, n integer not null, amount integer not null);
  create table event (position integer primary key, delivery text not null, repository text not null, n integer not null,
    kind text not null, amount integer not null, count_after integer not null, worker integer not null);
  create table repository (name text primary key, count integer not null, amount integer not null) without rowid;
  create table summary (position integer primary key, delivery text not null, repository text not null, n integer not null,
    amount integer not null, count_after integer not null, worker integer not null);
  create table board (repository text primary key, count integer not null, amount integer not null) without rowid;
`

/** What a handler publishes about each webhook, for the second group. */
export interface Summary {
  readonly delivery: string
  readonly repository: string
  readonly n: number
  readonly amount: number
  /** The running count after this webhook, as its handler saw it. */
  readonly count: number
}

/** The part of a transaction that the effects use. */
export interface Sql {
  run(sql: string, ...parameters: (string | number)[]): unknown
  get<Row>(sql: string, ...parameters: (string | number)[]): Row | undefined
}

/** The effect of one webhook: a row, the running total (read, add, write), and what to tell the second group. */
export function applyWebhook(tx: Sql, webhook: Webhook): Summary {
  const { delivery, event, repository, n, amount } = webhook
  tx.run(
    `insert into repository (name, count, amount) values (?, 1, ?)
     on conflict (name) do update set count = count + 1, amount = amount + excluded.amount`,
    repository,
    amount,
  )
  const count = tx.get<{ count: number }>('select count from repository where name = ?', repository)?.count ?? 0
  tx.run(
    'insert into event (delivery, repository, n, kind, amount, count_after, worker) values (?, ?, ?, ?, ?, ?, ?)',
    delivery,
    repository,
    n,
    event,
    amount,
    count,
    process.pid,
  )
  return { delivery, repository, n, amount, count }
}

/** The second group's effect: that every webhook caused one summary, and it arrived. */
export function applySummary(tx: Sql, summary: Summary): void {
  const { delivery, repository, n, amount, count } = summary
  tx.run(
    `insert into board (repository, count, amount) values (?, 1, ?)
     on conflict (repository) do update set count = count + 1, amount = amount + excluded.amount`,
    repository,
    amount,
  )
  tx.run(
    'insert into summary (delivery, repository, n, amount, count_after, worker) values (?, ?, ?, ?, ?, ?)',
    delivery,
    repository,
    n,
    amount,
    count,
    process.pid,
  )
}

/** Makes the file, and writes down first of all what is going to be sent. */
export function createTables(file: string, sent: readonly Sent[]): void {
  if (existsSync(file)) throw new Error(`${file} exists already; the demo needs a fresh folder`)
  using database = new DatabaseSync(file)
  database.exec(`pragma journal_mode = wal; begin; ${schema}`)
  const insert = database.prepare('insert into sent (delivery, repository, n, amount) values (?, ?, ?, ?)')
  for (const each of sent) insert.run(each.delivery, each.repository, each.n, each.amount)
  database.exec('commit')
}

/** Reads the demo's own tables while the run goes on, and judges them at the end. */
export class Tables implements Disposable {
  readonly #database: DatabaseSync

  constructor(file: string) {
    this.#database = new DatabaseSync(file, { timeout: 5_000 })
    this.#database.exec('pragma query_only = 1')
  }

  /** Rows written so far, repeats included. */
  counts(): { readonly events: number; readonly summaries: number } {
    const last = (table: string): number => {
      const row = this.#database.prepare(`select max(position) as last from ${table}`).get() as
        | { last: number | null }
        | undefined
      return row?.last ?? 0
    }
    return { events: last('event'), summaries: last('summary') }
  }

  /** True when every message sent has at least one row in both places. */
  complete(messages: number): boolean {
    const distinct = (table: string): number => {
      const row = this.#database.prepare(`select count(distinct delivery) as count from ${table}`).get() as { count: number }
      return row.count
    }
    const { events, summaries } = this.counts()
    return events >= messages && summaries >= messages && distinct('event') >= messages && distinct('summary') >= messages
  }

  audit(): Findings {
    const all = <Row>(sql: string): Row[] => this.#database.prepare(sql).all() as Row[]
    const sent = all<Sent>('select delivery, repository, n, amount from sent order by position')
    const applied = (table: string): Applied[] =>
      all(`select delivery, repository, n, amount, count_after as countAfter from ${table} order by position`)
    return addFindings([
      auditEffects('events', sent, applied('event'), all<Total>('select name as repository, count, amount from repository')),
      auditEffects('summaries', sent, applied('summary'), all<Total>('select repository, count, amount from board')),
    ])
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}
