/** graphile-worker: a job for 500 messages (or for each), whose task begins a transaction of its own with an inbox in it; and a job for each payment. */
import { EventEmitter } from 'node:events'
import type { Runner, WorkerEvents } from 'graphile-worker'
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { Pool } from 'pg'
import type { Booking } from '../message.ts'
import type { Subject, SubjectOptions } from './job.ts'
import { legsOf, moveAll, moveOne, movesOf } from './job.ts'

export const silent = new Logger(() => () => undefined)

const addJobs = `select count(*) from graphile_worker.add_jobs(array(
  select json_populate_record(null::graphile_worker.job_spec, job) from json_array_elements($1::text::json) job))`

export interface GraphileSettings {
  /** Told the name under which its workers lock: that of their pool. */
  readonly onWorker?: (id: string) => void
  /** In ms; its default is 2,000. */
  readonly pollInterval?: number
}

export function subject(
  { url, style, beforeCommit }: SubjectOptions,
  { onWorker, pollInterval }: GraphileSettings = {},
): Subject {
  const pool = new Pool({ connectionString: url, max: 10 })
  // It warns about a pool without these.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => void client.on('error', () => undefined))
  let utils: Awaited<ReturnType<typeof makeWorkerUtils>> | undefined
  let runner: Runner | undefined
  return {
    async prepare() {
      await pool.query('create table if not exists inbox (id text primary key)')
      utils = await makeWorkerUtils({ pgPool: pool, logger: silent })
      await utils.migrate()
    },
    async publish(messages) {
      const jobs = style === 'set-based' ? [messages] : messages.map((message) => [message])
      await utils?.addJobs(jobs.map((payload) => ({ identifier: 'ledger', payload })))
    },
    async consume() {
      const events = new EventEmitter() as WorkerEvents
      events.on('pool:create', ({ workerPool }) => onWorker?.(workerPool.id))
      runner = await run({
        pgPool: pool,
        logger: silent,
        events,
        concurrency: 4,
        ...(pollInterval === undefined ? {} : { pollInterval }),
        noHandleSignals: true,
        taskList: {
          ledger: async (payload, { withPgClient }) =>
            withPgClient(async (client) => {
              const messages = payload as readonly Booking[]
              await client.query('begin')
              const { rows } = await client.query<{ id: string }>(
                'insert into inbox select json_array_elements_text($1::text::json) on conflict do nothing returning id',
                [JSON.stringify(messages.map(({ id }) => id).toSorted())],
              )
              const ids = new Set(rows.map((row) => row.id))
              const fresh = messages.filter(({ id }) => ids.delete(id))
              if (style === 'set-based') await client.query(moveAll, [movesOf(fresh)])
              else for (const message of fresh) for (const leg of legsOf(message)) await client.query(moveOne, leg)
              const sent = fresh.map(({ id }) => ({ identifier: 'booked', payload: { payment: id } }))
              // A job for each payment, as everybody else sends it.
              if (style === 'set-based' && sent.length > 0) await client.query(addJobs, [JSON.stringify(sent)])
              else
                for (const { payload } of sent)
                  await client.query("select graphile_worker.add_job('booked', $1::text::json)", [JSON.stringify(payload)])
              await beforeCommit?.()
              await client.query('commit')
            }),
        },
      })
    },
    applied: async () => (await pool.query('select count(*)::int as n from inbox')).rows[0].n,
    async stop() {
      await runner?.stop()
      await utils?.release()
      await pool.end()
    },
  }
}
