import { hash } from 'node:crypto'
import type { PublishInsideOptions } from '../consume/consume-options.ts'
import type { Database, Session } from '../database/database.ts'
import type { OnefoldError } from '../errors.ts'
import { optionInvalid } from '../errors.ts'
import type { AppEvent } from '../event.ts'
import type { Awaitable, Envelope } from '../message.ts'
import { isThenable } from '../message.ts'
import { LeasedTask } from '../ownership/leased-task.ts'
import type { Ownership } from '../ownership/ownership.ts'
import type { Runtime } from '../runtime.ts'
import type { AnyTopic } from '../topic.ts'
import { checkName } from '../topic.ts'
import type { DueFirings, MissedPolicy, Occurrences } from './cron.ts'
import { dueFirings } from './cron.ts'
import { checkPattern, occurrencesOf } from './occurrences.ts'
import type { ScheduleOptions } from './schedule-options.ts'
import type { CronRecord } from './schedule-store.ts'

/** Whatever is due is seen this often at least: clocks jump, and owners end. */
const longestWaitMs = 250
const longestFailureWaitMs = 60_000

export interface SchedulerOptions {
  readonly database: Database<unknown>
  readonly ownership: Ownership
  readonly runtime: Runtime
  /** Checks a message and gives it its envelope, as `publish` does. */
  readonly prepare: (topic: AnyTopic, data: unknown, options: PublishInsideOptions) => Awaitable<Envelope>
  /** Publishes in the transaction. Answers why a message was refused because of its identity. */
  readonly publish: (
    session: Session<unknown>,
    topic: AnyTopic,
    envelopes: readonly Envelope[],
  ) => Promise<OnefoldError | undefined>
  readonly report: (event: AppEvent) => void
}

interface Schedule {
  readonly topic: AnyTopic
  readonly name: string
  readonly pattern: string
  readonly timeZone: string
  readonly data: unknown
  readonly options: PublishInsideOptions
  readonly missed: MissedPolicy
  readonly maxMissed: number
  occurrences: Occurrences | undefined
  /** The next instant after the one last decided, so that the pattern is asked once. */
  next: { readonly lastMs: number; readonly ms: number } | undefined
  compared: boolean
  failures: number
  /** Not looked at before this monotonic time: what it publishes could not be made. */
  pausedUntilMs: number
}

/**
 * Publishes a message for every instant of the declared schedules. A firing and the row that says how far the schedule has
 * come are one commit, and that row moves only from exactly where it was seen: of several processes one publishes, and a
 * crash leaves both or neither. The lease spares all but one process the work.
 */
export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #schedules: Schedule[] = []
  #task: LeasedTask | undefined

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  /** @throws OnefoldError `OPTION_INVALID` naming the option. */
  declare(topic: AnyTopic, options: ScheduleOptions<unknown>): void {
    const { name, cron, timeZone = 'UTC', missed = 'last', maxMissed = 100, key, headers } = options
    checkName('name', name)
    checkPattern(cron, timeZone)
    if (missed !== 'last' && missed !== 'all' && missed !== 'none')
      throw optionInvalid('missed', missed, "'last', 'all' or 'none'")
    if (!Number.isSafeInteger(maxMissed) || maxMissed < 1 || maxMissed > 1_000)
      throw optionInvalid('maxMissed', maxMissed, 'a whole number from 1 to 1000')
    if (this.#schedules.some((other) => other.topic.name === topic.name && other.name === name))
      throw optionInvalid('name', name, `declared once per topic: ${topic.name} has a schedule of that name already`)
    this.#schedules.push({
      topic,
      name,
      pattern: cron.trim(),
      timeZone,
      data: options.data,
      options: { ...(key === undefined ? {} : { key }), ...(headers === undefined ? {} : { headers }) },
      missed,
      maxMissed,
      occurrences: undefined,
      next: undefined,
      compared: false,
      failures: 0,
      pausedUntilMs: Number.NEGATIVE_INFINITY,
    })
  }

  /**
   * Reads the patterns and tries what is published where that is known beforehand.
   *
   * @throws OnefoldError `OPTION_INVALID` naming `cron`, `MESSAGE_INVALID`, `MESSAGE_TOO_LARGE`.
   */
  async check(): Promise<void> {
    for (const schedule of this.#schedules) {
      schedule.occurrences = await occurrencesOf(schedule.pattern, schedule.timeZone)
      if (typeof schedule.data !== 'function') await this.#envelope(schedule, this.#options.runtime.wallMs())
    }
  }

  start(): void {
    if (this.#schedules.length === 0) return
    const { ownership, runtime, report } = this.#options
    // Programs that declare other schedules do not wait for each other's lease; where they share one, the row decides.
    const names = this.#schedules.map(({ topic, name }) => `${topic.name}\n${name}`).sort()
    this.#task = new LeasedTask({
      name: `schedules ${hash('sha256', names.join('\n\n')).slice(0, 16)}`,
      everyMs: longestWaitMs,
      ownership,
      runtime,
      step: () => this.#step(),
      onError: (error) => report({ kind: 'database-error', message: (error as Error)?.message ?? String(error), error }),
    })
  }

  async stop(): Promise<void> {
    await this.#task?.stop()
  }

  async #step(): Promise<number> {
    const { database, runtime } = this.#options
    const records = await database.read((stores) => stores.cron.list())
    let waitMs = longestWaitMs
    for (const schedule of this.#schedules) {
      if (runtime.monotonicMs() < schedule.pausedUntilMs) continue
      const record = records.find((one) => one.topic === schedule.topic.name && one.name === schedule.name)
      const nextMs = await this.#look(schedule, record)
      if (nextMs !== undefined) waitMs = Math.min(waitMs, nextMs - runtime.wallMs())
    }
    return waitMs
  }

  /** Decides what is due; answers the next instant after it. */
  async #look(schedule: Schedule, record: CronRecord | undefined): Promise<number | undefined> {
    const { database, runtime } = this.#options
    const occurrences = schedule.occurrences as Occurrences
    const nowMs = runtime.wallMs()
    if (record === undefined) {
      // Seen for the first time: it begins now.
      const step = { fromMs: undefined, toMs: nowMs, fired: 0, missed: 0 }
      await database.write((session) => session.cron.advance(row(schedule), step), { what: `schedule ${schedule.name}` })
      return occurrences.after(nowMs)
    }
    const { lastMs } = record
    if (!schedule.compared && (record.pattern !== schedule.pattern || record.timeZone !== schedule.timeZone)) {
      // Changed: it goes on from where it was. Said once, for status: an older version of the program may still run.
      const step = { fromMs: lastMs, toMs: lastMs, fired: 0, missed: 0 }
      await database.write((session) => session.cron.advance(row(schedule), step), { what: `schedule ${schedule.name}` })
    }
    schedule.compared = true
    if (schedule.next?.lastMs !== lastMs) schedule.next = { lastMs, ms: occurrences.after(lastMs) ?? Number.POSITIVE_INFINITY }
    if (schedule.next.ms > nowMs) return schedule.next.ms
    const due = dueFirings(occurrences, { lastMs, nowMs, missed: schedule.missed, maxMissed: schedule.maxMissed })
    if (due === undefined) return schedule.next.ms
    await runtime.reached?.('schedule:due')
    const envelopes = await this.#envelopes(schedule, due)
    if (envelopes !== undefined) await this.#publish(schedule, lastMs, due, envelopes)
    return occurrences.after(due.toMs)
  }

  async #publish(schedule: Schedule, lastMs: number, due: DueFirings, envelopes: readonly Envelope[]): Promise<void> {
    const { database, runtime, publish } = this.#options
    const step = { fromMs: lastMs, toMs: due.toMs, fired: envelopes.length, missed: due.missed }
    const refused = await database.write(
      async (session) => {
        if (!(await session.cron.advance(row(schedule), step))) return undefined
        const answer = await publish(session, schedule.topic, envelopes)
        await runtime.reached?.('schedule:published')
        return answer
      },
      { what: `schedule ${schedule.name}` },
    )
    await runtime.reached?.('schedule:committed')
    // Its identity is taken, by whatever message: it has been published once, and never will be again.
    if (refused !== undefined) this.#report(schedule, refused)
  }

  /** Undefined when the program's own part failed: it is asked again later, and the instants stay due meanwhile. */
  async #envelopes(schedule: Schedule, due: DueFirings): Promise<readonly Envelope[] | undefined> {
    try {
      const envelopes: Envelope[] = []
      for (const instant of due.instants) envelopes.push(await this.#envelope(schedule, instant))
      schedule.failures = 0
      return envelopes
    } catch (error) {
      const waitMs = Math.min(longestFailureWaitMs, 1_000 * 2 ** schedule.failures++)
      schedule.pausedUntilMs = this.#options.runtime.monotonicMs() + waitMs
      this.#report(schedule, error)
      return undefined
    }
  }

  #envelope(schedule: Schedule, instantMs: number): Awaitable<Envelope> {
    const scheduledFor = new Date(instantMs)
    const instant = scheduledFor.toISOString()
    const { prepare, runtime } = this.#options
    const data =
      typeof schedule.data === 'function' ? schedule.data({ at: new Date(runtime.wallMs()), scheduledFor }) : schedule.data
    const prepared = prepare(schedule.topic, data, { ...schedule.options, id: `${schedule.name}@${instant}` })
    // Nobody else may set headers of these names, so they are added to what was checked.
    const own = { 'onefold-schedule': schedule.name, 'onefold-scheduled-for': instant }
    const withOwn = (envelope: Envelope): Envelope => ({ ...envelope, headers: { ...envelope.headers, ...own } })
    return isThenable(prepared) ? prepared.then(withOwn) : withOwn(prepared)
  }

  #report({ topic, name }: Schedule, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    this.#options.report({ kind: 'schedule-failed', topic: topic.name, message: `schedule ${name}: ${message}`, error })
  }
}

function row({ topic, name, pattern, timeZone }: Schedule): Pick<CronRecord, 'topic' | 'name' | 'pattern' | 'timeZone'> {
  return { topic: topic.name, name, pattern, timeZone }
}
