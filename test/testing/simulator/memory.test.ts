import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { replaceGlobals } from '../../../src/runtime/replaced-globals.ts'
import { surroundings } from '../../../src/testing/simulator/surroundings.ts'
import { correctApplications } from './support/correct-applications.ts'
import { RandomSchedules } from './support/random-schedule.ts'

const kinds = ['a ledger with receipts', 'a call that is repeated', 'receive with an inbox of its own'] as const

test.for(kinds)(
  '%s: the processes of schedules that have ended are garbage: a long proof needs no more memory',
  { timeout: 60_000 },
  async (name) => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const { application, options } = correctApplications[name] as (typeof correctApplications)[string]
    const lives: WeakRef<object>[] = []
    const remembering = (): ReturnType<typeof application> => {
      const app = application()
      lives.push(new WeakRef(app))
      return app
    }
    using globals = replaceGlobals(surroundings)
    using schedules = new RandomSchedules(remembering, options)
    for (let seed = 0; seed < 30; seed++) await schedules.run(seed)
    const made = lives.length
    let left = made
    // The last schedule's may still be on somebody's stack.
    for (let turn = 0; turn < 20 && left > 12; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      collectGarbage()
      left = lives.filter((life) => life.deref() !== undefined).length
    }
    expect(made).toBeGreaterThan(90)
    expect(left).toBeLessThanOrEqual(12)
    expect(globals).toBeDefined()
  },
)
