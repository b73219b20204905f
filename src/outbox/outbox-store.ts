import type { Awaitable, Envelope } from '../message.ts'
import type { OutboxNumber } from '../outbox-number.ts'
import type { AnyTopic, Order } from '../topic.ts'

export interface OutboxRow {
  readonly row: bigint
  readonly topic: string
  /** The topic's, as whoever published it had it declared: the process that sends it may not know the topic. */
  readonly order: Order
  readonly envelope: Envelope
  /** Identity of the message whose handler published this one. */
  readonly cause: string | undefined
  /** Undefined: it has never been sent. */
  readonly number: OutboxNumber | undefined
}

export interface NumberedRow extends OutboxRow {
  readonly number: OutboxNumber
}

/** A row that the broker will never take, and why. */
export interface RefusedRow {
  readonly row: bigint
  readonly reason: string
}

/** What waits to leave for a broker outside this database. */
export interface OutboxStore {
  append(
    topic: Pick<AnyTopic, 'name' | 'settings'>,
    messages: readonly { readonly envelope: Envelope; readonly cause: string | undefined }[],
  ): Awaitable<void>
  /** What is to be sent, oldest first: without what was refused. */
  read(limit: number): Awaitable<readonly OutboxRow[]>
  /**
   * The same, in a commit under the relay's lease: each row that has no number is given the next one of its series, in this order. To
   * be committed before any of them is sent. The series is named after the incarnation that numbers, on PostgreSQL also after the table
   * and the life of the server: a dump that is restored, or a server that has lost the last commits, goes on with numbers of its own.
   */
  number(limit: number): Awaitable<readonly NumberedRow[]>
  remove(rows: readonly bigint[]): Awaitable<void>
  /** They stay to be seen, and are not read any more. */
  refuse(rows: readonly RefusedRow[], nowMs: number): Awaitable<void>
}
