import type { History } from '../history.ts'
import { firstEffects, Lanes } from './lanes.ts'
import type { Group, Message, Reading } from './reading.ts'
import { aboutGroup, isClosed, mayBeApplied, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Nothing is applied past an earlier message of its key (of its topic, where order is 'total') that was not applied and not closed by a person: with
 * `onExhausted: 'hold'` not even when that one is in attention. Needs no end of the run.
 */
export function keyGap(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  for (const group of reading.groups('key-gap')) {
    if (reading.order(group.group) === 'none') continue
    const passed = passedBy(reading, group)
    for (const message of reading.owed(group)) {
      const lane = reading.lane(message, group.group)
      if (lane === undefined || isExcused(reading, message, group)) continue
      const furthest = passed.of(message, lane)
      if (furthest === undefined || furthest.earliest <= message.latest) continue
      const later = furthest.at.handled.message
      const what = `Group ${group.group} applied ${later.identity} and never ${named(message)}, which was published before it${message.key === later.key ? ` under the same key ${message.key}` : ''}.`
      const evidence = [publishOf(message), publishOf(later), furthest.at.index]
      found.push(violation('key-gap', what, evidence, aboutGroup(message, group)))
    }
  }
  return found
}

function passedBy(reading: Reading, group: Group): Lanes {
  const lanes = new Lanes()
  for (const effects of group.effects.values()) {
    for (const at of firstEffects(effects)) {
      const lane = reading.lane(at.handled.message, group.group)
      if (lane !== undefined) lanes.add(at, lane)
    }
  }
  return lanes
}

function isExcused(reading: Reading, message: Message, group: Group): boolean {
  const handled = group.handled.get(message)
  if (message.erased !== 'no') return true
  if (handled === undefined) return false
  return mayBeApplied(handled) || isClosed(handled) || (!reading.holds(group.group) && handled.attention.length > 0)
}
