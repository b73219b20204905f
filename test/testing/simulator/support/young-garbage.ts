/**
 * `node --expose-gc young-garbage.ts`: prints how many KiB of a schedule the collections of what is young leave to a full one. Its
 * own process, for a test runner writes programs anew, and it is of how they are written.
 */
import { replaceGlobals } from '../../../../src/runtime/replaced-globals.ts'
import { surroundings } from '../../../../src/testing/simulator/surroundings.ts'
import { correctApplications } from './correct-applications.ts'
import { RandomSchedules } from './random-schedule.ts'

const collectGarbage = globalThis.gc as unknown as (how?: { type: 'minor' }) => void
const schedules = 200
const { application, options } = correctApplications['a call that is repeated'] as (typeof correctApplications)[string]
using globals = replaceGlobals(surroundings)
using random = new RandomSchedules(application, options)
collectGarbage()
for (let seed = 0; seed < schedules; seed++) await random.run(seed)
// Who survives two of them is old.
for (let times = 0; times < 2; times++) collectGarbage({ type: 'minor' })
const left = process.memoryUsage().heapUsed
collectGarbage()
console.log(Math.round((left - process.memoryUsage().heapUsed) / 1_024 / schedules))
void globals
