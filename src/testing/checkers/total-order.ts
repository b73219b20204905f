import type { History } from '../history.ts'
import { firstEffects, Lanes, mayBeOvertaken } from './lanes.ts'
import type { Applied, Group, Message, Reading } from './reading.ts'
import { aboutGroup, entry, isClosed, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation, waived } from './violation.ts'

/**
 * Where order is 'total': every group and replica applies a prefix of one sequence; places that the broker gave rise, epoch
 * first; and each producer's messages keep their order across keys.
 */
export function totalOrder(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const found: Violation[] = []
  const copies = new Map<string, Copy[]>()
  for (const group of reading.groups('total-order')) {
    if (reading.order(group.group) !== 'total') continue
    for (const [replica, effects] of group.effects) {
      const happened = [...firstEffects(effects)]
      found.push(...placesFall(reading, happened, group), ...producersDisagree(reading, happened, group))
      entry(copies, group.topic, () => [] as Copy[]).push(new Copy(reading, group, replica, effects))
    }
  }
  for (const ofTopic of copies.values()) {
    const longest = ofTopic.reduce((most, copy) => (copy.applied.length > most.applied.length ? copy : most))
    for (const copy of ofTopic) if (copy !== longest) found.push(...divergence(longest, copy))
  }
  return found
}

function* placesFall(reading: Reading, happened: readonly Applied[], group: Group): Iterable<Violation> {
  let last: Applied | undefined
  for (const at of happened) {
    const place = at.operation.place
    if (place === undefined || mayBeOvertaken(reading, at.handled.message, group)) continue
    const before = last?.operation.place
    if (last !== undefined && before !== undefined && (place[0] - before[0] || place[1] - before[1]) <= 0) {
      const { message } = at.handled
      const what = `Group ${group.group} applied ${named(message)} at place ${place.join('.')} after place ${before.join('.')} (epoch.number).`
      yield violation('total-order', what, [last.index, at.index], aboutGroup(message, group))
    } else last = at
  }
}

function* producersDisagree(reading: Reading, happened: readonly Applied[], group: Group): Iterable<Violation> {
  const lanes = new Lanes()
  for (const at of happened) {
    const { message } = at.handled
    const furthest = lanes.of(message, '')
    if (furthest !== undefined && furthest.earliest > message.latest && !mayBeOvertaken(reading, message, group)) {
      const later = furthest.at.handled.message
      const what = `Group ${group.group} applied ${named(message)} after ${later.identity}, which its producer published after it.`
      yield violation(
        'total-order',
        what,
        [publishOf(message), publishOf(later), furthest.at.index, at.index],
        aboutGroup(message, group),
      )
    }
    lanes.add(at, '')
  }
}

/** What one replica of one group applied, in its order. */
class Copy {
  readonly applied: readonly Applied[]
  readonly name: string
  readonly group: Group
  readonly #reading: Reading
  readonly #messages: ReadonlySet<Message>

  constructor(reading: Reading, group: Group, replica: string, effects: readonly Applied[]) {
    this.#reading = reading
    this.group = group
    this.name = replica === '' ? `Group ${group.group}` : `Replica ${replica} of group ${group.group}`
    // What may not have committed shows nothing. What a person had, and others were not held up by, stands anywhere.
    this.applied = [...firstEffects(effects)].filter(({ handled }) => !mayBeOvertaken(reading, handled.message, group))
    this.#messages = new Set(this.applied.map(({ handled }) => handled.message))
  }

  /** The other's effect may be missing here. */
  maySkip({ handled: { message } }: Applied): boolean {
    if (this.#messages.has(message)) return false
    const handled = this.group.handled.get(message)
    if (handled !== undefined && handled.unknown.length > 0) return true
    if (waived[this.#reading.semantics(this.group.group)].includes('key-gap')) return true
    if (message.since < this.group.owedFrom) return true
    return (
      message.erased !== 'no' ||
      (handled !== undefined && (isClosed(handled) || mayBeOvertaken(this.#reading, message, this.group)))
    )
  }
}

/** The first place where two sequences part. */
function* divergence(longest: Copy, other: Copy): Iterable<Violation> {
  let l = 0
  let o = 0
  for (;;) {
    const here = longest.applied[l]
    const there = other.applied[o]
    if (here === undefined || there === undefined) return
    if (here.handled.message === there.handled.message) {
      l++
      o++
    } else if (other.maySkip(here)) l++
    else if (longest.maySkip(there)) o++
    else {
      const what = `${longest.name} applied ${named(here.handled.message)} where ${other.name.replace(/^[GR]/, (first) => first.toLowerCase())} applied ${there.handled.message.identity}: there is no one sequence that both follow.`
      yield violation('total-order', what, [here.index, there.index], aboutGroup(there.handled.message, other.group))
      return
    }
  }
}
