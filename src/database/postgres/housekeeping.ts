import { isOnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import type { DedupWindow, MaintenanceOptions } from '../database.ts'
import { effectiveWindow } from '../window-rules.ts'
import { forgottenCalls, removeForgottenCalls } from './call-maintenance.ts'
import { addUpDuplicates, hasDuplicates } from './duplicate-counts.ts'
import { expiredGeneration, forget } from './forgetting.ts'
import { adoptStray, droppedGeneration, removeRows, strayWindow } from './forgotten-rows.ts'
import type { Access, Write } from './maintenance-access.ts'
import { retirable, retire } from './retention.ts'
import { RunningTime } from './running-time.ts'
import { isAgeing, noteSealed, oldGeneration, Sealing, seal } from './sealing.ts'
import { storedWindow, storeWindow } from './stored-window.ts'

/** One kind of work, looked for every so often. */
interface Part {
  readonly everyMs: number
  /** True when there may be more to do now. */
  step(options: MaintenanceOptions, window: DedupWindow): Promise<boolean>
}

const secondMs = 1_000
const minuteMs = 60_000

/**
 * What has to be done now and then on one schema: a bounded step at a time, and nothing is written when there is nothing to do.
 * What is to be done is found on a reader; every write then looks again, behind a lock that others who do the same work take as
 * well, so that any number of processes may be at it.
 */
export class Housekeeping {
  readonly #reader: Access
  readonly #write: Write
  readonly #runtime: Runtime
  readonly #asked: DedupWindow
  readonly #runningTime: RunningTime
  readonly #sealing: Sealing
  readonly #parts: readonly (Part & { dueMs: number })[]
  #turn = 0

  constructor(options: { reader: Access; write: Write; runtime: Runtime; window: DedupWindow }) {
    const monotonicMs = (): number => options.runtime.monotonicMs()
    this.#reader = options.reader
    this.#write = options.write
    this.#runtime = options.runtime
    this.#asked = options.window
    this.#runningTime = new RunningTime(monotonicMs)
    this.#sealing = new Sealing(monotonicMs)
    const parts: readonly Part[] = [
      { everyMs: secondMs, step: (options, window) => this.#forget(options, window) },
      { everyMs: secondMs, step: ({ nowMs }) => this.#sealing.step(this.#reader, this.#write, nowMs) },
      { everyMs: minuteMs, step: ({ nowMs }, window) => this.#sealOld(nowMs, window) },
      { everyMs: secondMs, step: ({ nowMs }) => this.#retire(nowMs) },
      { everyMs: 10 * secondMs, step: () => this.#addUp() },
      { everyMs: minuteMs, step: () => this.#adopt() },
      { everyMs: minuteMs, step: ({ nowMs }, window) => this.#forgetCalls(nowMs, window) },
    ]
    this.#parts = parts.map((part) => ({ ...part, dueMs: Number.NEGATIVE_INFINITY }))
  }

  /** True when there may be more to do now. */
  async step(options: MaintenanceOptions): Promise<boolean> {
    const stored = await storedWindow(this.#reader)
    const window = effectiveWindow(this.#asked, stored)
    if (stored?.ms !== window.ms || stored.maxIds !== window.maxIds) await this.#write((session) => storeWindow(session, window))
    await this.#age(options.nowMs, window)
    // In turns: while there is always more of one kind, the others get on as well.
    for (let looked = 0; looked < this.#parts.length; looked++) {
      const part = this.#parts[this.#turn++ % this.#parts.length] as Part & { dueMs: number }
      if (this.#runtime.monotonicMs() < part.dueMs) continue
      if (await part.step(options, window)) return true
      part.dueMs = this.#runtime.monotonicMs() + part.everyMs
    }
    return false
  }

  /** Once a minute: the time that Onefold has been seen running. */
  async #age(nowMs: number, window: DedupWindow): Promise<void> {
    const runningTime = this.#runningTime
    if (!(await runningTime.due(this.#reader))) return
    if (!(await isAgeing(this.#reader, nowMs, window))) return runningTime.skip()
    let added: Awaited<ReturnType<RunningTime['add']>>
    try {
      added = await this.#write(async (session) => {
        const total = await runningTime.add(session)
        if (total !== undefined) await noteSealed(session, total.totalMs)
        return total
      })
    } finally {
      runningTime.adopt(added)
    }
  }

  /** Forgets a generation, or removes some rows of one that is forgotten. */
  async #forget({ nowMs, report }: MaintenanceOptions, window: DedupWindow): Promise<boolean> {
    const dropped = await droppedGeneration(this.#reader)
    if (dropped !== undefined) {
      await this.#write((session) => removeRows(session, dropped))
      return true
    }
    const expired = await expiredGeneration(this.#reader, nowMs, window)
    if (expired === undefined) return false
    const event = await this.#write((session) => forget(session, expired.dedup, nowMs, window))
    if (event !== undefined) report?.(event)
    return true
  }

  async #sealOld(nowMs: number, window: DedupWindow): Promise<boolean> {
    const old = await oldGeneration(this.#reader, nowMs, window)
    if (old === undefined) return false
    await this.#write((session) => seal(session, old, nowMs))
    return true
  }

  async #retire(nowMs: number): Promise<boolean> {
    const partition = await retirable(this.#reader, nowMs)
    if (partition === undefined) return false
    try {
      return await this.#write((session) => retire(session, partition, nowMs))
    } catch (error) {
      // Somebody else is at it, or a group is being declared: later.
      if (isOnefoldError(error, 'DATABASE_BUSY')) return false
      throw error
    }
  }

  async #addUp(): Promise<boolean> {
    if (!(await hasDuplicates(this.#reader))) return false
    return await this.#write((session) => addUpDuplicates(session))
  }

  async #adopt(): Promise<boolean> {
    const dedup = await strayWindow(this.#reader)
    if (dedup === undefined) return false
    return await this.#write((session) => adoptStray(session, dedup))
  }

  async #forgetCalls(nowMs: number, window: DedupWindow): Promise<boolean> {
    const found = await forgottenCalls(this.#reader, nowMs, window)
    if (found === undefined) return false
    return await this.#write((session) => removeForgottenCalls(session, nowMs, window))
  }
}
