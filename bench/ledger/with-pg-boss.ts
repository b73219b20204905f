/** pg-boss with everything that makes it quick and safe: batches, its own transaction for the handler, and an inbox in it. */
import { Pool } from 'pg'
import { PgBoss } from 'pg-boss'
import type { Booking } from '../message.ts'
import type { Subject, SubjectOptions } from './job.ts'
import { batchSize, legsOf, moveAll, moveOne, movesOf } from './job.ts'

interface Db {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

export interface BossSettings {
  /** For its constructor, and for the queue of the ledger. */
  readonly boss?: Readonly<Record<string, unknown>>
  readonly queue?: Readonly<Record<string, unknown>>
}

export function subject({ url, style, beforeCommit }: SubjectOptions, settings: BossSettings = {}): Subject {
  const pool = new Pool({ connectionString: url, max: 6 })
  const boss = new PgBoss({ connectionString: url, max: 10, useListenNotify: true, ...settings.boss } as never)
  boss.on('error', (error) => console.error(error))
  let over = false
  let running: Promise<unknown> | undefined

  async function apply(all: readonly Booking[], tx: Db): Promise<void> {
    const { rows } = await tx.executeSql(
      'insert into inbox select json_array_elements_text($1::text::json) on conflict do nothing returning id',
      [JSON.stringify(all.map(({ id }) => id).toSorted())],
    )
    const fresh = new Set(rows.map((row) => row.id as string))
    const messages = all.filter(({ id }) => fresh.delete(id))
    if (messages.length === 0) return
    if (style === 'set-based') await tx.executeSql(moveAll, [movesOf(messages)])
    else for (const message of messages) for (const leg of legsOf(message)) await tx.executeSql(moveOne, leg)
    await boss.insert(
      'booked',
      messages.map(({ id }) => ({ data: { payment: id } })),
      { db: tx as never },
    )
    await beforeCommit?.()
  }

  /** Takes some at a time, and commits each with its own completion: `work` would look for one at a time, twice a second. */
  async function loop(): Promise<void> {
    while (!over) {
      const jobs = await boss.fetch<Booking>('ledger', { batchSize: 25 })
      if (jobs.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      for (const { id, data } of jobs) {
        const client = await pool.connect()
        const tx: Db = { executeSql: async (text, values) => client.query(text, values) }
        try {
          await client.query('begin')
          await apply([data], tx)
          await boss.complete('ledger', id, null, { db: tx as never })
          await client.query('commit')
        } finally {
          client.release()
        }
      }
    }
  }

  return {
    async prepare() {
      await pool.query('create table if not exists inbox (id text primary key)')
      await boss.start()
      await boss.createQueue('ledger', settings.queue as never)
      await boss.createQueue('booked')
    },
    publish: async (messages) =>
      void (await boss.insert(
        'ledger',
        messages.map((data) => ({ data })),
      )),
    async consume() {
      if (style === 'one by one') {
        running = Promise.all([1, 2, 3, 4].map(loop))
        return
      }
      const options = { batchSize, pollingIntervalSeconds: 0.5, localConcurrency: 1, transactional: true }
      await boss.work<Booking, unknown>(
        'ledger',
        options as never,
        ((jobs: readonly { data: Booking }[], tx: Db) =>
          apply(
            jobs.map(({ data }) => data),
            tx,
          )) as never,
      )
    },
    applied: async () => (await pool.query('select count(*)::int as n from inbox')).rows[0].n,
    async stop() {
      over = true
      await running
      await boss.stop({ graceful: false })
      await pool.end()
    },
  }
}
