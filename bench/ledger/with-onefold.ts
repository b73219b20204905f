import { Pool } from 'pg'
import { postgres } from '../../src/database/postgres/index.ts'
import type { OnefoldOptions, Topic } from '../../src/index.ts'
import { onefold, topic } from '../../src/index.ts'
import type { Booking } from '../message.ts'
import type { Subject, SubjectOptions } from './job.ts'
import { batchSize, legsOf, moveAll, moveOne, movesOf } from './job.ts'

export interface OnefoldSettings extends Pick<OnefoldOptions<unknown>, 'dedupWindow' | 'leaseMs' | 'runtime'> {
  /** Default 1: all messages move money between the same accounts, and the floor has one consumer. */
  readonly partitions?: number
  readonly retentionMs?: number
  readonly maxAttempts?: number
  /** A group that does nothing with what the ledger sends on, from when it is first declared; else all of that is kept. */
  readonly hearsBooked?: boolean
}

interface Booked {
  readonly payment: string
}

export function topicsOf({ partitions = 1, retentionMs }: OnefoldSettings): { ledger: Topic<Booking>; booked: Topic<Booked> } {
  const retention = retentionMs === undefined ? {} : { retentionMs }
  return {
    ledger: topic<Booking>('ledger', { id: (booking) => booking.id, key: (booking) => booking.from, partitions, ...retention }),
    booked: topic<Booked>('booked', { id: ({ payment }) => payment, partitions, ...retention }),
  }
}

export function withOnefold({ url, style, beforeCommit }: SubjectOptions, settings: OnefoldSettings = {}): Subject {
  const pool = new Pool({ connectionString: url, max: 10, pipeline: true })
  const { partitions: _, retentionMs: __, hearsBooked, maxAttempts, ...options } = settings
  const { ledger, booked } = topicsOf(settings)
  const app = onefold({ ...options, source: 'bench', database: postgres(pool, { migrations: 'apply' }) })
  const attempts = maxAttempts === undefined ? {} : { maxAttempts, inlineAttempts: maxAttempts }
  if (style === 'set-based')
    app.consume(ledger, {
      ...attempts,
      group: 'accounts',
      batchSize,
      applyBatch: async (items, { tx }) => {
        await tx.query(moveAll, [movesOf(items.map(({ data }) => data))])
        for (const { data, publish } of items) publish(booked, { payment: data.id })
        await beforeCommit?.()
      },
    })
  else
    app.consume(ledger, {
      ...attempts,
      group: 'accounts',
      batchSize,
      apply: async (booking, { tx, publish }) => {
        for (const leg of legsOf(booking)) await tx.query(moveOne, leg)
        publish(booked, { payment: booking.id })
        await beforeCommit?.()
      },
    })
  if (hearsBooked === true)
    app.consume(booked, { ...attempts, group: 'archive', startFrom: 'latest', batchSize, applyBatch: () => undefined })
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
