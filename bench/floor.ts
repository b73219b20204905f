/**
 * The floor: the loop a careful person would write by hand on node:sqlite, with the same promise on one file. A log with a
 * unique identity and a body digest, an effect of two upserts, an outbox row, a checkpoint; 500 messages a transaction; WAL,
 * synchronous=FULL. No partitions, leases, attempts, schemas or several groups: what these cost is what is measured.
 */
import { hash } from 'node:crypto'
import type { StatementSync } from 'node:sqlite'
import { DatabaseSync } from 'node:sqlite'
import type { Booking } from './message.ts'

export const batchSize = 500

/** The page cache and checkpoint interval are those that Onefold sets. */
export const pragmas =
  'pragma journal_mode = wal; pragma synchronous = full; pragma cache_size = -65536; pragma wal_autocheckpoint = 4000'

const schema = `
  create table log (position integer primary key, id text not null unique, key text not null, digest blob not null, time integer not null, body text not null);
  create table account (id text primary key, balance integer not null) without rowid;
  create table outbox (position integer primary key, topic text not null, cause text not null, body text not null);
  create table checkpoint (consumer text primary key, position integer not null) without rowid;
  insert into checkpoint values ('ledger', 0);
`

export class Floor implements Disposable {
  readonly #database: DatabaseSync
  readonly #append: StatementSync
  readonly #read: StatementSync
  readonly #upsert: StatementSync
  readonly #outbox: StatementSync
  readonly #checkpoint: StatementSync
  #position: number

  constructor(file: string) {
    const database = new DatabaseSync(file)
    database.exec(pragmas)
    if (database.prepare("select 1 from sqlite_schema where name = 'log'").get() === undefined) database.exec(schema)
    this.#database = database
    this.#append = database.prepare(
      'insert into log (id, key, digest, time, body) values (?, ?, ?, ?, ?) on conflict (id) do nothing',
    )
    this.#read = database.prepare('select position, id, body from log where position > ? order by position limit ?')
    this.#upsert = database.prepare(
      'insert into account (id, balance) values (?, ?) on conflict (id) do update set balance = balance + excluded.balance',
    )
    this.#outbox = database.prepare("insert into outbox (topic, cause, body) values ('booked', ?, ?)")
    this.#checkpoint = database.prepare("update checkpoint set position = ? where consumer = 'ledger'")
    this.#position = (database.prepare('select position from checkpoint').get() as { position: number }).position
  }

  /** One transaction per 500. Answers how many were new. */
  publish(messages: readonly Booking[]): number {
    let accepted = 0
    for (let from = 0; from < messages.length; from += batchSize) {
      this.#transaction(() => {
        for (const message of messages.slice(from, from + batchSize)) {
          const body = JSON.stringify(message)
          const result = this.#append.run(message.id, message.from, hash('sha256', body, 'buffer'), Date.now(), body)
          accepted += Number(result.changes)
        }
      })
    }
    return accepted
  }

  /** Applies what is in the log after the checkpoint, 500 per transaction. Answers how many. */
  consume(): number {
    for (let applied = 0; ; ) {
      const rows = this.#read.all(this.#position, batchSize) as { position: number; id: string; body: string }[]
      const last = rows.at(-1)
      if (last === undefined) return applied
      this.#transaction(() => {
        for (const row of rows) {
          const booking = JSON.parse(row.body) as Booking
          this.#upsert.run(booking.from, -booking.amount)
          this.#upsert.run(booking.to, booking.amount)
          this.#outbox.run(row.id, JSON.stringify({ booking: booking.id, amount: booking.amount }))
        }
        this.#checkpoint.run(last.position)
      })
      this.#position = last.position
      applied += rows.length
    }
  }

  #transaction(work: () => void): void {
    this.#database.exec('begin immediate')
    try {
      work()
      this.#database.exec('commit')
    } catch (error) {
      this.#database.exec('rollback')
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}
