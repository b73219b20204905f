import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
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
    for (let seed = 0; seed < 25; seed++) await schedules.run(seed)
    const earlier = lives.length
    // The last schedules' may still be on somebody's stack.
    for (let seed = 0; seed < 2; seed++) await schedules.run(seed)
    let left = earlier
    for (let turn = 0; turn < 20 && left > 1; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      collectGarbage()
      left = lives.slice(0, earlier).filter((life) => life.deref() !== undefined).length
    }
    expect(earlier).toBeGreaterThan(90)
    // One of which the declarations are remembered.
    expect(left).toBeLessThanOrEqual(1)
    expect(globals).toBeDefined()
  },
)

// What V8 allocates among what is old keeps all it knows until the next full collection: see `running` in schedule.ts.
test('a schedule that has ended is garbage of the young generation: its processes are not copied about by those after it', () => {
  const script = fileURLToPath(new URL('support/young-garbage.ts', import.meta.url))
  const measure = (): number => Number(execFileSync(process.execPath, ['--expose-gc', script], { encoding: 'utf8' }))
  // 10 to 30; and 140 or more, each time, where one such function is left. On a busy machine a collection may begin where it disturbs.
  let kibibytes = measure()
  for (let again = 0; again < 3 && kibibytes >= 80; again++) kibibytes = measure()
  expect(kibibytes).toBeLessThan(80)
}, 60_000)
