/**
 * The ledger job on PostgreSQL: messages of about 300 bytes, 5,000 accounts, every twentieth published twice. The effect of a
 * message moves money between two accounts, and it sends one message on. Afterwards every balance is checked.
 */
import type { Pool } from 'pg'
import type { Booking } from '../message.ts'
import { bookings } from '../message.ts'

export const accounts = 5_000
export const batchSize = 500

/** Whoever does the job. */
export interface Subject {
  /** Makes what it needs in the database, if it is not there. */
  prepare(): Promise<void>
  /** Publishes so many at once. */
  publish(messages: readonly Booking[]): Promise<void>
  /** Begins to consume; nothing is published before that has resolved. */
  consume(): Promise<void>
  /** Different messages applied so far. */
  applied(): Promise<number>
  stop(): Promise<void>
}

export interface SubjectOptions {
  readonly url: string
  /** All of a batch in one statement, or each message by itself as one would write it first. */
  readonly style: 'set-based' | 'one by one'
  /** Called in every transaction after its writes and before its commit. */
  readonly beforeCommit?: (() => Promise<void>) | undefined
}

export const tables = `
  create table account (id text primary key, balance bigint not null default 0) with (fillfactor = 50);
  insert into account (id) select 'account-' || n from generate_series(0, ${accounts - 1}) n;
`

export function messagesOf(count: number): Booking[] {
  return bookings(0, count, 'ordered', accounts)
}

/** In batches, with every twentieth of a batch again in the next one. */
export function* batchesOf(messages: readonly Booking[], size: number): Generator<readonly Booking[]> {
  let again: readonly Booking[] = []
  for (let from = 0; from < messages.length; from += size) {
    const batch = messages.slice(from, from + size)
    yield [...batch, ...again]
    again = batch.filter((_, index) => (from + index) % 20 === 0)
  }
  if (again.length > 0) yield again
}

/** The same for all: one update of every account that a batch touches, in the order of their ids. `$1`: JSON of `movesOf`. */
export const moveAll = `
  with moved as (select id, sum(amount) as amount from json_to_recordset($1::text::json) as r (id text, amount bigint) group by id),
    locked as (select a.id, m.amount from account a join moved m using (id) order by a.id for update of a)
  update account a set balance = a.balance + l.amount from locked l where l.id = a.id`

export function movesOf(messages: readonly Booking[]): string {
  const moves = new Map<string, number>()
  for (const { from, to, amount } of messages) {
    moves.set(from, (moves.get(from) ?? 0) - amount)
    moves.set(to, (moves.get(to) ?? 0) + amount)
  }
  return JSON.stringify([...moves].map(([id, amount]) => ({ id, amount })))
}

export const moveOne = 'update account set balance = balance + $2 where id = $1'

/** The two accounts of a message in the order of their ids, so that two transactions never wait in a circle. */
export function legsOf({ from, to, amount }: Booking): [string, number][] {
  const legs: [string, number][] = [
    [from, -amount],
    [to, amount],
  ]
  return legs.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Says what is wrong; empty when every message took effect exactly once. */
export async function audit(pool: Pool, messages: Iterable<Booking>): Promise<string[]> {
  const expected = new Map<string, number>()
  for (const message of messages) for (const [id, amount] of legsOf(message)) expected.set(id, (expected.get(id) ?? 0) + amount)
  const { rows } = await pool.query<{ id: string; balance: string }>('select id, balance from account')
  return rows
    .filter(({ id, balance }) => Number(balance) !== (expected.get(id) ?? 0))
    .map(({ id, balance }) => `${id}: ${balance} instead of ${expected.get(id) ?? 0}`)
}
