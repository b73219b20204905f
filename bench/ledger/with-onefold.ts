import { Pool } from 'pg'
import { postgres } from '../../src/database/postgres/index.ts'
import { onefold, topic } from '../../src/index.ts'
import type { Booking } from '../message.ts'
import type { Subject, SubjectOptions } from './job.ts'
import { batchSize, legsOf, moveAll, moveOne, movesOf } from './job.ts'

/** All messages move money between the same accounts, so one partition, as the floor has one consumer. */
const ledger = topic<Booking>('ledger', { id: (booking) => booking.id, key: (booking) => booking.from, partitions: 1 })
const booked = topic<{ payment: string }>('booked', { id: ({ payment }) => payment, partitions: 1 })

export function withOnefold({ url, style }: SubjectOptions): Subject {
  const pool = new Pool({ connectionString: url, max: 10, pipeline: true })
  const app = onefold({ source: 'bench', database: postgres(pool, { migrations: 'apply' }) })
  if (style === 'set-based')
    app.consume(ledger, {
      group: 'accounts',
      batchSize,
      applyBatch: async (items, { tx }) => {
        await tx.query(moveAll, [movesOf(items.map(({ data }) => data))])
        for (const { data, publish } of items) publish(booked, { payment: data.id })
      },
    })
  else
    app.consume(ledger, {
      group: 'accounts',
      batchSize,
      apply: async (booking, { tx, publish }) => {
        for (const leg of legsOf(booking)) await tx.query(moveOne, leg)
        publish(booked, { payment: booking.id })
      },
    })
  return {
    prepare: async () => void (await app.status()),
    publish: async (messages) =>
      void (await app.publishMany(
        ledger,
        messages.map((data) => ({ data })),
      )),
    consume: () => app.start(),
    applied: async () => (await pool.query('select coalesce(sum(applied), 0)::int as n from onefold.checkpoint')).rows[0].n,
    stop: async () => {
      await app.stop()
      await pool.end()
    },
  }
}
