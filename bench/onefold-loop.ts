/** Onefold doing what the floor does, as its README shows: publishMany, a consumer with two upserts and one publish. */
import { inDatabaseBroker } from '../src/broker/in-database/index.ts'
import type { SqliteTx } from '../src/database/sqlite/index.ts'
import { sqlite } from '../src/database/sqlite/index.ts'
import type { App } from '../src/index.ts'
import { onefold, topic } from '../src/index.ts'
import { nodeRuntime } from '../src/runtime/node-runtime.ts'
import { unreliableBroker } from '../src/testing/index.ts'
import { batchSize } from './floor.ts'
import type { Booking } from './message.ts'
import { throughSeam } from './without-inbox.ts'

export const bookingTopic = topic<Booking>('bookings', { id: (booking) => booking.id, key: (booking) => booking.from })
const booked = topic<{ booking: string; amount: number }>('booked')

export interface LoopOptions {
  readonly file: string
  /** The broker in a file of its own, offsets taken off: the inbox must recognise repeats, as behind an outside broker. */
  readonly stripped: boolean
  /** Whether the inbox's statements run; undefined leaves the database untouched. */
  readonly inbox: boolean | undefined
  readonly reached?: (point: string) => void
}

export class OnefoldLoop {
  readonly app: App<SqliteTx>
  applied = 0
  #enough: { readonly count: number; readonly resolve: () => void } | undefined

  constructor(options: LoopOptions) {
    const database = sqlite(options.file)
    const { reached } = options
    this.app = onefold({
      database: options.inbox === undefined ? database : throughSeam(database, options.inbox),
      ...(options.stripped ? { broker: unreliableBroker(inDatabaseBroker(sqlite(`${options.file}-broker`)), { seed: 1 }) } : {}),
      ...(reached === undefined ? {} : { runtime: { ...nodeRuntime(), reached } }),
    })
  }

  consume(): void {
    this.app.consume(bookingTopic, 'ledger', (booking, { tx, publish }) => {
      tx.run(upsert, booking.from, -booking.amount)
      tx.run(upsert, booking.to, booking.amount)
      publish(booked, { booking: booking.id, amount: booking.amount })
      this.applied++
      if (this.applied === this.#enough?.count) this.#enough.resolve()
    })
  }

  /** Resolves when so many handlers have run and their commits are made. */
  async finished(count: number): Promise<void> {
    if (this.applied < count) await new Promise<void>((resolve) => (this.#enough = { count, resolve }))
    await this.app.idle()
  }

  async publish(messages: readonly Booking[]): Promise<void> {
    for (let from = 0; from < messages.length; from += batchSize) {
      await this.app.publishMany(
        bookingTopic,
        messages.slice(from, from + batchSize).map((data) => ({ data })),
      )
    }
  }

  /** Calls that know nothing of each other, as from as many HTTP requests; at most 500 at the same time. */
  async publishOneByOne(messages: readonly Booking[]): Promise<void> {
    const left = messages.values()
    await Promise.all(
      Array.from({ length: batchSize }, async () => {
        for (const message of left) await this.app.publish(bookingTopic, message)
      }),
    )
  }
}

const upsert =
  'insert into account (id, balance) values (?, ?) on conflict (id) do update set balance = balance + excluded.balance'
