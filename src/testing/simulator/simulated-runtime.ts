import type { Runtime } from '../../runtime.ts'
import { seededRandom } from '../seeded-random.ts'
import type { Incarnation, World } from './world.ts'

/** The clock, timers, randomness and death of one simulated process. */
export function simulatedRuntime(world: World, self: Incarnation, processes: readonly Incarnation[]): Runtime {
  let random: (() => number) | undefined
  let ids = 0
  return {
    wallMs: () => world.nowMs,
    monotonicMs: () => world.nowMs,
    random() {
      random ??= seededRandom(self.name, self.life)
      return random()
    },
    // Of the right form, and the same in every run of the same schedule.
    uuid: () => `00000000-0000-7000-8000-${self.pid.toString(16).padStart(4, '0')}${(++ids).toString(16).padStart(8, '0')}`,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve()
        const wake = (): void => {
          timer.cancel()
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const timer = world.timer(self, ms, wake)
        signal?.addEventListener('abort', wake, { once: true })
      }),
    every(ms, tick) {
      const again = (): void => {
        timer = world.timer(self, ms, again)
        tick()
      }
      let timer = world.timer(self, ms, again)
      return { [Symbol.dispose]: () => timer.cancel() }
    },
    after: (ms, task) => world.timer(self, ms, task),
    defer: (task) => void world.timer(self, 0, task),
    process: { pid: self.pid, host: 'simulator', startedAt: String(self.pid) },
    isAlive: ({ pid }) => (processes.some((other) => other.pid === pid && !other.dead) ? 'alive' : 'dead'),
    die(why) {
      world.crash(self, `by itself: ${why.message}`)
      throw why
    },
  }
}
