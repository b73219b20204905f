import type { Awaitable, Envelope } from '../message.ts'

export interface OutboxRow {
  readonly row: bigint
  readonly topic: string
  readonly envelope: Envelope
  /** Identity of the message whose handler published this one. */
  readonly cause: string | undefined
}

/** What waits to leave for a broker outside this database. */
export interface OutboxStore {
  append(topic: string, messages: readonly { readonly envelope: Envelope; readonly cause: string | undefined }[]): Awaitable<void>
  /** Oldest first. */
  read(limit: number): Awaitable<readonly OutboxRow[]>
  remove(rows: readonly bigint[]): Awaitable<void>
}
