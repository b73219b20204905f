import type { Applied, Group, Message, Reading } from './reading.ts'
import { entry } from './reading.ts'

/**
 * The furthest that one producer's messages of one lane have been applied: as seen by one replica, so far. Of `at` it is certain
 * that its producer published it at `earliest` or later.
 */
export interface Furthest {
  readonly at: Applied
  readonly earliest: number
}

/** One lane (a key; everything, for total order) of one producer. */
export class Lanes {
  readonly #furthest = new Map<string, Map<string, Furthest>>()

  of(message: Message, lane: string): Furthest | undefined {
    return message.producer === undefined ? undefined : this.#furthest.get(message.producer)?.get(lane)
  }

  add(at: Applied, lane: string): void {
    const { producer, earliest } = at.handled.message
    if (producer === undefined || earliest === Number.NEGATIVE_INFINITY) return
    const lanes = entry(this.#furthest, producer, () => new Map<string, Furthest>())
    if (earliest > (lanes.get(lane)?.earliest ?? Number.NEGATIVE_INFINITY)) lanes.set(lane, { at, earliest })
  }
}

/** What certainly committed, the first time only: repeats are judged by `noDuplicateEffect`. */
export function* firstEffects(effects: readonly Applied[]): Iterable<Applied> {
  const seen = new Set<Message>()
  for (const at of effects) {
    if (at.operation.outcome !== 'happened' || seen.has(at.handled.message)) continue
    seen.add(at.handled.message)
    yield at
  }
}

/** A person took it out of its turn: behind it others go on. */
export function mayBeOvertaken(reading: Reading, message: Message, group: Group): boolean {
  return !reading.holds(group.group) && (group.handled.get(message)?.attention.length ?? 0) > 0
}
