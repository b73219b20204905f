import type { App, OnefoldOptions } from './app.ts'
import type { ConsumeOptions } from './consume/consume-options.ts'
import type { ScheduleOptions } from './schedule/schedule-options.ts'
import type { AnyTopic } from './topic.ts'

/** What an app was declared to be: enough to build it again over other ports, as often as one likes. */
export interface AppBlueprint {
  readonly options: OnefoldOptions<unknown>
  readonly consumers: readonly {
    readonly topic: AnyTopic
    readonly options: ConsumeOptions<unknown, unknown>
    /** Thrown by nobody: its stack says where the consumer was declared. */
    readonly declared: Error
  }[]
  readonly schedules: readonly { readonly topic: AnyTopic; readonly options: ScheduleOptions<unknown> }[]
}

/** Not for applications: how the simulator gets at what an app declares. */
export const blueprint: unique symbol = Symbol.for('onefold.blueprint')

/**
 * Not for applications. While a stand-in is set, what is asked of the app is asked of the stand-in: a handler that says
 * `app.publish` means the simulated process it runs in.
 */
export const standIn: unique symbol = Symbol.for('onefold.stand-in')

export interface Simulable {
  readonly [blueprint]: AppBlueprint
  [standIn]: (() => App<unknown> | undefined) | undefined
}
