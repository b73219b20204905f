import type { MissedPolicy } from './cron.ts'

export interface ScheduledFiring {
  /** The wall clock when the message is made. */
  readonly at: Date
  /** The instant of the pattern it is made for. */
  readonly scheduledFor: Date
}

export interface ScheduleOptions<Input> {
  /** Names the schedule within its topic, for good: a new name is a new schedule. */
  readonly name: string
  /** Five fields (minute hour day month weekday), six with seconds first, or @hourly, @daily, @weekly, @monthly, @yearly. */
  readonly cron: string
  /** Where the pattern's clock hangs: a name of the IANA list. Default 'UTC'. */
  readonly timeZone?: string
  /** What is published; a function is asked once per firing, and again when it threw or its commit failed. */
  readonly data: NoInfer<Input> | ((firing: ScheduledFiring) => NoInfer<Input>)
  /** Default: what the topic's `key` says. */
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  /**
   * What becomes of instants that passed while no process ran. 'last' (default): the newest one is published. 'all': each,
   * the newest `maxMissed` of them. 'none': none that is more than a minute late.
   */
  readonly missed?: MissedPolicy
  /** With 'all': published at most for one downtime, 1 to 1,000, default 100. The older ones are counted as missed. */
  readonly maxMissed?: number
}
