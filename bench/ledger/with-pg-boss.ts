/** pg-boss with everything that makes it quick and safe: batches, its own transaction for the handler, and an inbox in it. */
import { Pool } from 'pg'
import { PgBoss } from 'pg-boss'
import type { Booking } from '../message.ts'
import type { Subject, SubjectOptions } from './job.ts'
import { batchSize, legsOf, moveAll, moveOne, movesOf } from './job.ts'

export function subject({ url, style }: SubjectOptions): Subject {
  const pool = new Pool({ connectionString: url, max: 2 })
  const boss = new PgBoss({ connectionString: url, max: 10, useListenNotify: true } as never)
  boss.on('error', (error) => console.error(error))
  return {
    async prepare() {
      await pool.query('create table inbox (id text primary key)')
      await boss.start()
      await boss.createQueue('ledger')
      await boss.createQueue('booked')
    },
    publish: async (messages) =>
      void (await boss.insert(
        'ledger',
        messages.map((data) => ({ data })),
      )),
    async consume() {
      const options = { batchSize: style === 'set-based' ? batchSize : 1, pollingIntervalSeconds: 0.5, localConcurrency: 4 }
      await boss.work<Booking, unknown>(
        'ledger',
        { ...options, transactional: true } as never,
        (async (
          jobs: readonly { data: Booking }[],
          tx: { executeSql(text: string, values?: unknown[]): Promise<{ rows: { id: string }[] }> },
        ) => {
          const ids = jobs.map(({ data }) => data.id).toSorted()
          const { rows } = await tx.executeSql(
            'insert into inbox select json_array_elements_text($1::text::json) on conflict do nothing returning id',
            [JSON.stringify(ids)],
          )
          const fresh = new Set(rows.map((row) => row.id))
          const messages = jobs.map(({ data }) => data).filter(({ id }) => fresh.delete(id))
          if (messages.length === 0) return
          if (style === 'set-based') await tx.executeSql(moveAll, [movesOf(messages)])
          else for (const message of messages) for (const leg of legsOf(message)) await tx.executeSql(moveOne, leg)
          await boss.insert(
            'booked',
            messages.map(({ id }) => ({ data: { payment: id } })),
            { db: tx as never },
          )
        }) as never,
      )
    },
    applied: async () => (await pool.query('select count(*)::int as n from inbox')).rows[0].n,
    async stop() {
      await boss.stop({ graceful: false })
      await pool.end()
    },
  }
}
