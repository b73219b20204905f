/** The demo's own tables on PostgreSQL, what handlers write into them, and the judge's look at them. */
import { Pool } from 'pg'
import type { PostgresTx } from '../src/database/postgres/index.ts'
import type { Findings, Sent } from './audit.ts'
import type { Place } from './database.ts'
import type { Effects, Summary, Tables } from './tables.ts'
import { auditRows } from './tables.ts'
import type { Webhook } from './webhooks.ts'

/** As on SQLite: `event` and `summary` only ever grow, and nothing here stops a second row. */
const schema = `
  create schema {s};
  create table {s}.sent (position integer primary key, delivery text not null, repository text not null, n integer not null, amount integer not null);
  create table {s}.event (position bigint generated always as identity primary key, delivery text not null, repository text not null,
    n integer not null, kind text not null, amount integer not null, count_after integer not null, worker integer not null);
  create table {s}.repository (name text primary key, count integer not null, amount integer not null);
  create table {s}.summary (position bigint generated always as identity primary key, delivery text not null, repository text not null,
    n integer not null, amount integer not null, count_after integer not null, worker integer not null);
  create table {s}.board (repository text primary key, count integer not null, amount integer not null);
`

type PostgresPlace = Place & { readonly engine: 'postgres' }

/** Apart from Onefold's tables, which are in schemas beside it. */
const tablesSchema = (place: PostgresPlace): string => `${place.schema}_tables`
export const brokerSchema = (place: PostgresPlace): string => `${place.schema}_broker`

/** The effects of SQLite's handlers (tables.ts), statement by statement. */
export function postgresEffects(place: PostgresPlace): Effects<PostgresTx> {
  const s = tablesSchema(place)
  return {
    async applyWebhook(tx, { delivery, event, repository, n, amount }: Webhook) {
      const { rows } = await tx.query<{ count: number }>(
        `insert into ${s}.repository as r (name, count, amount) values ($1, 1, $2)
         on conflict (name) do update set count = r.count + 1, amount = r.amount + excluded.amount returning count`,
        [repository, amount],
      )
      const count = rows[0]?.count ?? 0
      await tx.query(
        `insert into ${s}.event (delivery, repository, n, kind, amount, count_after, worker) values ($1, $2, $3, $4, $5, $6, $7)`,
        [delivery, repository, n, event, amount, count, process.pid],
      )
      return { delivery, repository, n, amount, count }
    },
    async applySummary(tx, { delivery, repository, n, amount, count }: Summary) {
      await tx.query(
        `insert into ${s}.board as b (repository, count, amount) values ($1, 1, $2)
         on conflict (repository) do update set count = b.count + 1, amount = b.amount + excluded.amount`,
        [repository, amount],
      )
      await tx.query(
        `insert into ${s}.summary (delivery, repository, n, amount, count_after, worker) values ($1, $2, $3, $4, $5, $6)`,
        [delivery, repository, n, amount, count, process.pid],
      )
    },
  }
}

/** Makes the schema, and writes down first of all what is going to be sent. */
export async function openPostgresTables(place: PostgresPlace, sent: readonly Sent[]): Promise<Tables> {
  const s = tablesSchema(place)
  const pool = new Pool({ connectionString: place.url, max: 2 })
  // Whoever uses the connection next hears of it.
  pool.on('error', () => {})
  await pool.query(schema.replaceAll('{s}', s))
  await pool.query(
    `insert into ${s}.sent select row_number() over (), r.* from json_to_recordset($1::json)
     as r (delivery text, repository text, n integer, amount integer)`,
    [JSON.stringify(sent)],
  )
  const all = async <Row extends object>(sql: string): Promise<Row[]> => (await pool.query<Row>(sql)).rows
  const count = async (what: string, table: string): Promise<number> =>
    (await all<{ count: number }>(`select count(${what})::integer as count from ${s}.${table}`))[0]?.count ?? 0
  const counts = async () => ({ events: await count('*', 'event'), summaries: await count('*', 'summary') })
  return {
    counts,
    async complete(messages) {
      const { events, summaries } = await counts()
      if (events < messages || summaries < messages) return false
      return (await count('distinct delivery', 'event')) >= messages && (await count('distinct delivery', 'summary')) >= messages
    },
    async audit(): Promise<Findings> {
      const applied = (table: string) =>
        all<never>(`select delivery, repository, n, amount, count_after as "countAfter" from ${s}.${table} order by position`)
      return auditRows({
        sent: await all<Sent>(`select delivery, repository, n, amount from ${s}.sent order by position`),
        events: await applied('event'),
        repositories: await all(`select name as repository, count, amount from ${s}.repository`),
        summaries: await applied('summary'),
        board: await all(`select repository, count, amount from ${s}.board`),
      })
    },
    close: () => pool.end(),
  }
}

/** Takes away all that runs have made in these schemas. */
export async function dropSchemas(url: string, schemas: readonly string[]): Promise<void> {
  const pool = new Pool({ connectionString: url, max: 1 })
  try {
    for (const schema of schemas)
      for (const each of [schema, `${schema}_tables`, `${schema}_broker`])
        await pool.query(`drop schema if exists ${each} cascade`)
  } finally {
    await pool.end()
  }
}
