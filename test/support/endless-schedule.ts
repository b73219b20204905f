/**
 * Watches a judge from a thread beside it: a schedule has a bound of steps, so one that has used so much of a processor is in a loop
 * that never gives the world its turn. Not a matter of the time of day: the machine may be busy with something else.
 */
import { writeSync } from 'node:fs'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

const enoughMs = 30_000

/** Answers what is to be called whenever a schedule begins. After an endless one the process says "hangs", and is gone. */
export function watchSchedules(): () => void {
  const begun = new Int32Array(new SharedArrayBuffer(4))
  new Worker(new URL(import.meta.url), { workerData: begun })
  return () => void Atomics.add(begun, 0, 1)
}

if (!isMainThread) {
  const begun = workerData as Int32Array
  let last = -1
  let sinceMs = 0
  setInterval(() => {
    const { user, system } = process.cpuUsage()
    const usedMs = (user + system) / 1_000
    const now = Atomics.load(begun, 0)
    if (now !== last) [last, sinceMs] = [now, usedMs]
    else if (usedMs - sinceMs > enoughMs) {
      writeSync(1, '"hangs"\n')
      process.kill(process.pid, 'SIGKILL')
    }
  }, 500)
}
