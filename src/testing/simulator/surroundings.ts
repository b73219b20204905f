import type { Surroundings } from '../../runtime/replaced-globals.ts'
import { seededRandom } from '../seeded-random.ts'
import { SimulationEscape } from './escape.ts'
import { placeOf } from './place-of.ts'
import type { Incarnation, World } from './world.ts'

let world: World | undefined
const chances = new WeakMap<Incarnation, () => number>()

/** The world whose clock and timers code sees from now on; undefined: the real ones. */
export function surroundWith(next: World | undefined): void {
  world = next
}

/** False: it is nobody's whom the world knows. */
export function rejected(reason: unknown): boolean {
  return world?.rejected(reason) ?? false
}

/** As the process sees them whose code is running; undefined outside every process. */
export function surroundings(): Surroundings | undefined {
  const around = world
  const self = around?.current
  if (around === undefined || self === undefined) return undefined
  return {
    nowMs: around.nowMs,
    random() {
      let chance = chances.get(self)
      if (chance === undefined) {
        chance = seededRandom('Math.random', around.startMs, self.name, self.life)
        chances.set(self, chance)
      }
      return chance()
    },
    timer: (ms, task) => around.timer(self, ms, task),
    refuse(what, here) {
      const error = new SimulationEscape(what, placeOf(here))
      around.trouble ??= error
      throw error
    },
  }
}
