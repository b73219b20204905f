import type { App } from '../../../../src/index.ts'
import { nodeRuntime } from '../../../../src/runtime/node-runtime.ts'
import type { ProveOptions } from '../../../../src/testing/index.ts'
import { seededRandom } from '../../../../src/testing/index.ts'
import { Decisions } from '../../../../src/testing/simulator/decisions.ts'
import type { ScheduleResult } from '../../../../src/testing/simulator/schedule.ts'
import { runSchedule } from '../../../../src/testing/simulator/schedule.ts'
import { SqliteWorld } from '../../../../src/testing/simulator/sqlite-world.ts'
import type { Subject } from '../../../../src/testing/simulator/subject.ts'
import { blueprintOf } from '../../../../src/testing/simulator/subject.ts'

/** Single schedules by number, in the order somebody asks for: what one leaves behind must not show in the next. */
export class RandomSchedules implements Disposable {
  readonly #subject: Subject
  readonly #sqlite: SqliteWorld

  constructor(application: () => App<never>, options: ProveOptions) {
    this.#subject = {
      make: () => {
        const app = application()
        return { app: app as never, blueprint: blueprintOf(app) }
      },
      ownMemory: true,
      workload: options.workload,
      setup: options.setup,
      reset: options.reset,
      invariants: Object.entries(options.invariants ?? {}),
      outside: options.outside ?? {},
      honoursTokens: true,
      workers: 2,
      compare: false,
      everyCommit: false,
      broker: undefined,
    }
    this.#sqlite = new SqliteWorld(nodeRuntime(), options.setup)
  }

  run(seed: number): Promise<ScheduleResult> {
    const chance = seededRandom('random schedule', seed)
    const rate = chance() * 0.3
    // No more than `explore` places: then no message is given up for what the world does.
    let left = 12
    const pick = (_: number, choices: number): number =>
      left > 0 && chance() < rate && left-- > 0 ? 1 + Math.floor(chance() * (choices - 1)) : 0
    return runSchedule({ subject: this.#subject, database: this.#sqlite, decisions: new Decisions(pick) })
  }

  [Symbol.dispose](): void {
    this.#sqlite.close()
  }
}
