import { join } from 'node:path'
import { toCanonicalJson } from '../../src/canonical-json.ts'
import type { Database } from '../../src/database/database.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { AppEvent } from '../../src/event.ts'
import type { ClaimStatus } from '../../src/inbox/inbox-store.ts'
import type { Envelope } from '../../src/message.ts'
import { emptyHeaders } from '../../src/message.ts'
import { ShiftedRuntime } from './shifted-runtime.ts'
import { temporaryFolder } from './temporary.ts'

export const minuteMs = 60_000
/** A little more than the minute after which a process notes that it has been running. */
const lookMs = minuteMs + 1_000
const subscription = { topic: 't', group: 'g' }

/** A message published at `timeMs`. */
export const published = (id: string, timeMs: number, body: unknown = 1): Envelope => ({
  id,
  source: 's',
  type: 't',
  timeMs,
  headers: emptyHeaders,
  json: toCanonicalJson({ body }),
})

/** A database whose inbox of group g is tried with clocks that a test moves, and the process that has it open. */
export class WindowDatabase {
  readonly file: string
  readonly clock: ShiftedRuntime
  readonly window: { ms: number; maxIds: number; stated?: boolean }
  readonly events: AppEvent[] = []
  readonly #make: () => Database<unknown>
  database: Database<unknown>

  private constructor(
    file: string,
    make: () => Database<unknown>,
    clock: ShiftedRuntime,
    window: { ms: number; maxIds: number; stated?: boolean },
  ) {
    this.file = file
    this.clock = clock
    this.window = window
    this.#make = make
    this.database = make()
  }

  static async open(
    options: {
      make?: () => Database<unknown>
      file?: string
      clock?: ShiftedRuntime
      ms?: number
      maxIds?: number
      stated?: boolean
    } = {},
  ): Promise<WindowDatabase> {
    const file = options.file ?? join(temporaryFolder(), 'window.db')
    const opened = new WindowDatabase(file, options.make ?? (() => sqlite(file)), options.clock ?? new ShiftedRuntime(), {
      ms: options.ms ?? 16 * minuteMs,
      maxIds: options.maxIds ?? 10_000_000,
      stated: options.stated ?? true,
    })
    await opened.#open()
    await opened.write((session) => session.groups.declare(subscription, { startFrom: 'earliest', semantics: 's' }))
    return opened
  }

  async #open(): Promise<void> {
    await this.database.open({ runtime: this.clock.runtime, dedupWindow: this.window })
  }

  async reopen(): Promise<void> {
    await this.database.close()
    this.database = this.#make()
    await this.#open()
  }

  close(): Promise<void> {
    return this.database.close()
  }

  get nowMs(): number {
    return this.clock.runtime.wallMs()
  }

  write<R>(work: Parameters<typeof this.database.write<R>>[0]): Promise<R> {
    return this.database.write(work, { what: 'test' })
  }

  claim(...envelopes: Envelope[]): Promise<readonly ClaimStatus[]> {
    return this.write((session) => session.inbox.claim(subscription, envelopes))
  }

  /** Housekeeping until there is nothing left to do. */
  async maintain(): Promise<void> {
    const report = (event: AppEvent): void => void this.events.push(event)
    while (await this.database.maintain({ nowMs: this.nowMs, report }));
  }

  /** Onefold runs for at least `ms`: both clocks go on, and housekeeping looks every minute. */
  async run(ms: number): Promise<void> {
    await this.maintain()
    for (let passedMs = 0; passedMs < ms; passedMs += lookMs) {
      this.clock.pass(lookMs)
      await this.maintain()
    }
  }
}
