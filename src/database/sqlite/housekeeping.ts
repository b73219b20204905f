import type { Runtime } from '../../runtime.ts'
import type { DedupWindow, MaintenanceOptions } from '../database.ts'
import { effectiveWindow } from '../window-rules.ts'
import { forgottenCalls, removeForgottenCalls } from './call-maintenance.ts'
import { hasWork, nextFilter, step, storeFilter } from './maintenance.ts'
import { RunningTime } from './running-time.ts'
import type { SqliteSession, SqliteStores } from './session.ts'
import { isAgeing, noteSealed, sealOld, storedWindow, storeWindow } from './window-maintenance.ts'
import type { WriteQueue } from './write-queue.ts'

const callsEveryMs = 60_000
const what = { what: 'maintenance' }

/** What has to be done now and then on one file: a bounded step at a time, and nothing is written when there is nothing to do. */
export class Housekeeping {
  readonly #reader: SqliteStores
  readonly #queue: WriteQueue<SqliteSession>
  readonly #runtime: Runtime
  readonly #asked: DedupWindow
  readonly #runningTime: RunningTime
  #callsDueMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: { reader: SqliteStores; queue: WriteQueue<SqliteSession>; runtime: Runtime; window: DedupWindow }) {
    this.#reader = options.reader
    this.#queue = options.queue
    this.#runtime = options.runtime
    this.#asked = options.window
    this.#runningTime = new RunningTime(() => options.runtime.monotonicMs())
  }

  close(): void {
    this.#closed = true
  }

  /** True when there may be more to do now. */
  async step(options: MaintenanceOptions): Promise<boolean> {
    const window = effectiveWindow(this.#asked, storedWindow(this.#reader))
    await this.#age(options, window)
    if (await this.buildFilter()) return true
    if (hasWork(this.#reader, options, window)) {
      const done = await this.#queue.run((session) => step(session, options, window), what)
      if (done?.event !== undefined) options.report?.(done.event)
      if (done !== undefined) return true
    }
    return this.#forgetCalls(options, window)
  }

  async buildFilter(): Promise<boolean> {
    if (this.#closed) return false
    const filter = nextFilter(this.#reader)
    if (filter === undefined) return false
    await this.#queue.run((session) => storeFilter(session, filter), what)
    return true
  }

  /** Once a minute: windows age. */
  async #age({ nowMs }: MaintenanceOptions, window: DedupWindow): Promise<void> {
    const stored = storedWindow(this.#reader)
    if (stored?.ms !== window.ms || stored.maxIds !== window.maxIds)
      await this.#queue.run((session) => storeWindow(session, window), what)
    const runningTime = this.#runningTime
    if (!runningTime.due(this.#reader)) return
    if (!isAgeing(this.#reader, nowMs, window)) return runningTime.skip()
    let added: ReturnType<RunningTime['add']>
    try {
      added = await this.#queue.run((session) => {
        const total = runningTime.add(session)
        if (total !== undefined) noteSealed(session, total.totalMs)
        sealOld(session, nowMs, window)
        return total
      }, what)
    } finally {
      runningTime.adopt(added)
    }
  }

  /** Looked for once a minute: the rows of messages parked for long would be passed over each time. */
  async #forgetCalls({ nowMs }: MaintenanceOptions, window: DedupWindow): Promise<boolean> {
    if (this.#runtime.monotonicMs() < this.#callsDueMs) return false
    const more =
      forgottenCalls(this.#reader, nowMs, window) !== undefined &&
      (await this.#queue.run((session) => removeForgottenCalls(session, nowMs, window), what))
    if (!more) this.#callsDueMs = this.#runtime.monotonicMs() + callsEveryMs
    return more
  }
}
