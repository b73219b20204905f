import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { SqliteTx } from '../src/database/sqlite/index.ts'
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

/** What handlers do, in a transaction of the engine. */
export interface Effects<Tx> {
  applyWebhook(tx: Tx, webhook: Webhook): Summary | Promise<Summary>
  applySummary(tx: Tx, summary: Summary): void | Promise<void>
}

/** The demo's own tables, read while the run goes on, and judged at the end. */
export interface Tables {
  /** Rows written so far, repeats included. */
  counts(): Promise<{ readonly events: number; readonly summaries: number }>
  /** True when every message sent has at least one row in both places. */
  complete(messages: number): Promise<boolean>
  audit(): Promise<Findings>
  close(): Promise<void>
}

export const sqliteEffects: Effects<SqliteTx> = { applyWebhook, applySummary }

/** The effect of one webhook: a row, the running total (read, add, write), and what to tell the second group. */
function applyWebhook(tx: SqliteTx, webhook: Webhook): Summary {
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
function applySummary(tx: SqliteTx, summary: Summary): void {
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
export function openSqliteTables(file: string, sent: readonly Sent[]): Tables {
  createTables(file, sent)
  const database = new DatabaseSync(file, { timeout: 5_000 })
  database.exec('pragma query_only = 1')
  const all = <Row>(sql: string): Row[] => database.prepare(sql).all() as Row[]
  const last = (table: string): number => all<{ last: number | null }>(`select max(position) as last from ${table}`)[0]?.last ?? 0
  const distinct = (table: string): number =>
    all<{ count: number }>(`select count(distinct delivery) as count from ${table}`)[0]?.count ?? 0
  return {
    counts: async () => ({ events: last('event'), summaries: last('summary') }),
    complete: async (messages) =>
      ['event', 'summary'].every((table) => last(table) >= messages) &&
      ['event', 'summary'].every((table) => distinct(table) >= messages),
    async audit() {
      const applied = (table: string): Applied[] =>
        all(`select delivery, repository, n, amount, count_after as countAfter from ${table} order by position`)
      return auditRows({
        sent: all('select delivery, repository, n, amount from sent order by position'),
        events: applied('event'),
        repositories: all('select name as repository, count, amount from repository'),
        summaries: applied('summary'),
        board: all('select repository, count, amount from board'),
      })
    },
    close: async () => database.close(),
  }
}

function createTables(file: string, sent: readonly Sent[]): void {
  if (existsSync(file)) throw new Error(`${file} exists already; the demo needs a fresh folder`)
  using database = new DatabaseSync(file)
  database.exec(`pragma journal_mode = wal; begin; ${schema}`)
  const insert = database.prepare('insert into sent (delivery, repository, n, amount) values (?, ?, ?, ?)')
  for (const each of sent) insert.run(each.delivery, each.repository, each.n, each.amount)
  database.exec('commit')
}

interface Rows {
  readonly sent: readonly Sent[]
  readonly events: readonly Applied[]
  readonly repositories: readonly Total[]
  readonly summaries: readonly Applied[]
  readonly board: readonly Total[]
}

export function auditRows({ sent, events, repositories, summaries, board }: Rows): Findings {
  return addFindings([auditEffects('events', sent, events, repositories), auditEffects('summaries', sent, summaries, board)])
}
