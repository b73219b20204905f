/**
 * What a careful person writes by hand for exactly this job, and nothing else: a log, an inbox, an outbox and a checkpoint; one
 * consumer; one transaction for 500 messages (or one for each); every statement for the whole batch. No partitions, leases, attempts or
 * parking, and one publisher: it reads the log by its number, which loses messages as soon as two publish at once.
 */
import { Pool } from 'pg'
import type { Booking } from '../message.ts'
import type { Subject, SubjectOptions } from './job.ts'
import { batchSize, legsOf, moveAll, moveOne, movesOf } from './job.ts'

const tables = `
  create table log (n bigint generated always as identity primary key, id text not null, key text not null, data text not null);
  create table inbox (id text primary key);
  create table outbox (n bigint generated always as identity primary key, cause text not null, data text not null);
  create table checkpoint (n bigint not null);
  insert into checkpoint values (0);
`

export function floor({ url, style }: SubjectOptions): Subject {
  const pool = new Pool({ connectionString: url, max: 4 })
  let over = false
  let running: Promise<void> | undefined
  let applied = 0

  async function batch(limit: number): Promise<number> {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const { rows } = await client.query<{ n: string; id: string; data: string }>(
        'select n, id, data from log where n > (select n from checkpoint for update) order by n limit $1',
        [limit],
      )
      const last = rows.at(-1)
      if (last === undefined) {
        await client.query('rollback')
        return 0
      }
      const fresh = await client.query<{ id: string }>(
        'insert into inbox select json_array_elements_text($1::text::json) on conflict do nothing returning id',
        [JSON.stringify(rows.map((row) => row.id))],
      )
      const ids = new Set(fresh.rows.map((row) => row.id))
      const messages: Booking[] = []
      for (const { id, data } of rows) if (ids.delete(id)) messages.push(JSON.parse(data) as Booking)
      if (style === 'set-based') await client.query(moveAll, [movesOf(messages)])
      else for (const message of messages) for (const leg of legsOf(message)) await client.query(moveOne, leg)
      await client.query(
        'insert into outbox (cause, data) select r.cause, r.data from json_to_recordset($1::text::json) as r (cause text, data text)',
        [JSON.stringify(messages.map(({ id }) => ({ cause: id, data: JSON.stringify({ payment: id }) })))],
      )
      await client.query('update checkpoint set n = $1', [last.n])
      await client.query('commit')
      applied += messages.length
      return rows.length
    } finally {
      client.release()
    }
  }

  async function loop(): Promise<void> {
    while (!over) {
      if ((await batch(style === 'set-based' ? batchSize : 1)) === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  return {
    prepare: async () => void (await pool.query(tables)),
    publish: async (messages) =>
      void (await pool.query(
        'insert into log (id, key, data) select r.id, r.key, r.data from json_to_recordset($1::text::json) as r (id text, key text, data text)',
        [JSON.stringify(messages.map((message) => ({ id: message.id, key: message.from, data: JSON.stringify(message) })))],
      )),
    consume: async () => {
      running = loop()
    },
    applied: async () => applied,
    stop: async () => {
      over = true
      await running
      await pool.end()
    },
  }
}
