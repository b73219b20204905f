import type { History } from '../history.ts'
import { firstEffects, Lanes, mayBeOvertaken } from './lanes.ts'
import type { Reading } from './reading.ts'
import { aboutGroup, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * What one producer published under one key is applied in the order in which it was published. A publish whose outcome was
 * unknown and that was repeated later may stand at either place. With `onExhausted: 'skip'` a message that came to attention
 * may be overtaken. Total order is judged by `totalOrder`. One violation for each message that is too late.
 */
export function keyOrder(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('key-order')) {
    const order = reading.order(group.group)
    if (order === 'none' || order === 'total') continue
    for (const effects of group.effects.values()) {
      const lanes = new Lanes()
      for (const at of firstEffects(effects)) {
        const { message } = at.handled
        if (message.key === undefined) continue
        const furthest = lanes.of(message, message.key)
        if (furthest !== undefined && furthest.earliest > message.latest && !mayBeOvertaken(reading, message, group)) {
          const later = furthest.at.handled.message
          const what = `Group ${group.group} applied ${named(message)} after ${later.identity}, which was published after it under the same key ${message.key}.`
          const evidence = [publishOf(message), publishOf(later), furthest.at.index, at.index]
          found.push(violation('key-order', what, evidence, aboutGroup(message, group)))
        }
        lanes.add(at, message.key)
      }
    }
  }
  return found
}
