import { Pool } from 'pg'
import { onTestFinished } from 'vitest'
import type { Database, Session } from '../../src/database/database.ts'
import type { PostgresTx } from '../../src/database/postgres/index.ts'
import { postgres } from '../../src/database/postgres/index.ts'
import type { AppEvent } from '../../src/event.ts'
import type { ClaimStatus } from '../../src/inbox/inbox-store.ts'
import type { Awaitable, Envelope } from '../../src/message.ts'
import type { TemporaryPostgres } from './postgres.ts'
import { temporaryPostgres } from './postgres.ts'
import { ShiftedRuntime } from './shifted-runtime.ts'
import { minuteMs } from './window-database.ts'

/** A little more than the minute after which a process notes that it has been running. */
const lookMs = minuteMs + 1_000
export const subscription = { topic: 't', group: 'g' }

interface Options {
  readonly of?: PostgresWindows
  readonly clock?: ShiftedRuntime
  readonly ms?: number
  readonly maxIds?: number
  readonly stated?: boolean
}

const databaseOn = (pool: Pool): Database<PostgresTx> => postgres(pool, { migrations: 'apply', listen: false })

/** A process that has a test's PostgreSQL database open, with clocks that the test moves. */
export class PostgresWindows {
  readonly server: TemporaryPostgres
  readonly clock: ShiftedRuntime
  readonly window: { ms: number; maxIds: number; stated: boolean }
  readonly events: AppEvent[] = []
  #pool: Pool
  #database: Database<PostgresTx>

  private constructor(server: TemporaryPostgres, options: Options) {
    this.server = server
    this.clock = options.clock ?? new ShiftedRuntime()
    this.window = { ms: options.ms ?? 16 * minuteMs, maxIds: options.maxIds ?? 10_000_000, stated: options.stated ?? true }
    this.#pool = new Pool({ connectionString: server.url })
    this.#database = databaseOn(this.#pool)
  }

  static async open(options: Options = {}): Promise<PostgresWindows> {
    const opened = new PostgresWindows(options.of?.server ?? (await temporaryPostgres()), options)
    onTestFinished(() => opened.close())
    await opened.#open()
    await opened.write((session) => session.groups.declare(subscription, { startFrom: 'earliest', semantics: 's' }))
    return opened
  }

  async #open(): Promise<void> {
    await this.#database.open({ runtime: this.clock.runtime, dedupWindow: this.window })
  }

  async close(): Promise<void> {
    await this.#database.close()
    if (!this.#pool.ended) await this.#pool.end()
  }

  async reopen(): Promise<void> {
    await this.close()
    this.#pool = new Pool({ connectionString: this.server.url })
    this.#database = databaseOn(this.#pool)
    await this.#open()
  }

  get database(): Database<PostgresTx> {
    return this.#database
  }

  get nowMs(): number {
    return this.clock.runtime.wallMs()
  }

  write<R>(work: (session: Session<PostgresTx>) => Awaitable<R>): Promise<R> {
    return this.#database.write(work, { what: 'test' })
  }

  claim(...envelopes: Envelope[]): Promise<readonly ClaimStatus[]> {
    return this.write((session) => session.inbox.claim(subscription, envelopes))
  }

  /** One step of housekeeping. True: there may be more to do now. */
  step(): Promise<boolean> {
    return this.#database.maintain({ nowMs: this.nowMs, report: (event) => void this.events.push(event) })
  }

  /** Housekeeping until there is nothing left to do. */
  async maintain(): Promise<void> {
    while (await this.step());
  }

  /** Onefold runs for at least `ms`: both clocks go on, and housekeeping looks every minute. */
  async run(ms: number): Promise<void> {
    await this.maintain()
    for (let passedMs = 0; passedMs < ms; passedMs += lookMs) {
      this.clock.pass(lookMs)
      await this.maintain()
    }
  }

  /** As committed; `{s}` stands for Onefold's schema. */
  async rows<R = Record<string, unknown>>(sql: string): Promise<R[]> {
    return (await this.server.pool.query(sql.replaceAll('{s}', 'onefold'))).rows as R[]
  }

  /** How many connections of the database wait for a lock. */
  waiting(): Promise<number> {
    return this.number("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
  }

  async number(sql: string): Promise<number> {
    return Number(Object.values((await this.rows(sql))[0] ?? {})[0] ?? 0)
  }
}
