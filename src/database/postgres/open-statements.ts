import type { Lease } from '../../ownership/ownership-store.ts'
import type { WriteOptions } from '../database.ts'
import type { Execute, SqlRow } from './client.ts'
import { explainError, isOutsideTransaction, transactionEnded } from './errors.ts'
import { Sql } from './sql.ts'

type Under = NonNullable<WriteOptions['under']>

export const guardSql = 'select 1 as held from {s}.lease where name = $1 and epoch = $2::bigint and owner is not null for update'
export const checkpointSql =
  'select "offset"::text as "offset" from {s}.checkpoint where subscription = $1::int and partition = $2'

/**
 * Statements of one transaction that nobody waits for one by one, on a connection that executes them in order: what is always asked
 * first goes out with BEGIN, and what is always said last with COMMIT. Each is a way to the server and back that a message need not
 * wait for.
 */
export class OpenStatements {
  /** A statement of ours has seen, after the last handler, that it is still open. */
  seen = false
  readonly #where: string
  #guard: { readonly lease: Lease; readonly rows: Promise<readonly SqlRow[]> } | undefined
  #checkpoint:
    | { readonly subscription: number; readonly partition: string; readonly rows: Promise<readonly SqlRow[]> }
    | undefined
  readonly #heard: Promise<unknown>[] = []

  constructor(where: string) {
    this.#where = where
  }

  /** To be called when BEGIN has been sent. `subscription`: its number, where it is known. */
  askFirst(execute: Execute, schema: string, { lease, partition }: Under, subscription: number | undefined): void {
    const sql = new Sql(execute, schema)
    const ask = (text: string, ...parameters: (string | number)[]): Promise<readonly SqlRow[]> => {
      const rows = sql.rows(text, ...parameters)
      rows.catch(() => undefined)
      return rows
    }
    this.#guard = { lease, rows: ask(guardSql, lease.name, lease.epoch.toString()) }
    // After the lease is locked: what is read is what its holders have committed.
    if (subscription !== undefined)
      this.#checkpoint = { subscription, partition, rows: ask(checkpointSql, subscription, partition) }
  }

  /** Numbers that were remembered may be others' by now. */
  forgetCheckpoint(): void {
    this.#checkpoint = undefined
  }

  /** Once. */
  guard({ name, epoch }: Lease): Promise<readonly SqlRow[]> | undefined {
    const asked = this.#guard
    this.#guard = undefined
    return asked?.lease.name === name && asked.lease.epoch === epoch ? asked.rows : undefined
  }

  /** Once, and not after something was written. */
  checkpoint(subscription: number, partition: string): Promise<readonly SqlRow[]> | undefined {
    const asked = this.#checkpoint
    this.#checkpoint = undefined
    return asked?.subscription === subscription && asked.partition === partition ? asked.rows : undefined
  }

  /** Its failure is heard of at COMMIT, which rolls back then. */
  hear(statement: Promise<unknown>): void {
    statement.catch(() => undefined)
    this.#heard.push(statement)
  }

  /** The same, of one that fails where the transaction is not open any more, after the last handler. */
  last(statement: Promise<unknown>): void {
    this.seen = true
    this.hear(statement)
  }

  /** What the first of these failed with. */
  async failure(): Promise<unknown> {
    for (const statement of this.#heard) {
      try {
        await statement
      } catch (error) {
        return isOutsideTransaction(error) ? transactionEnded(error) : explainError(error, this.#where)
      }
    }
    return undefined
  }
}
