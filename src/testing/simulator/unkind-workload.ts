import { optionInvalid } from '../../errors.ts'
import type { Topic } from '../../topic.ts'
import { seededRandom } from '../seeded-random.ts'
import type { WorkItem } from './subject.ts'

export interface UnkindOptions<I> {
  /** The same seed gives the same workload. Default 1. */
  readonly seed?: number
  /** Payloads the topic must refuse: they come in between, and nothing may come of them. */
  readonly refused?: readonly unknown[]
  /** Another body under the identity of the one given: it is refused, or counts as a repeat, as the topic says. */
  readonly changed?: (payload: I) => I
}

/** Of the payloads, so many come again: at once, as from a client that was not patient, or at the end, as from one that was down. */
const again = { atOnce: 0.3, atTheEnd: 0.3 }

/**
 * A workload for `prove` as the world would send it: payloads of one key in a burst, some twice at once, some again at the end,
 * some with another body under an identity that is taken, and what must be refused in between.
 *
 * Each payload comes at least once, those of one key in the order given.
 *
 * @throws OnefoldError `OPTION_INVALID` for a topic without `id`: its repeats would be other messages.
 * @example
 * unkindWorkload(payments, fc.sample(payment, { seed: 7, numRuns: 5 }), { refused: [{ amount: 'much' }] })
 */
export function unkindWorkload<I, D>(topic: Topic<I, D>, payloads: readonly I[], options: UnkindOptions<I> = {}): WorkItem[] {
  if (topic.id === undefined)
    throw optionInvalid('topic', topic.name, 'a topic with an id: without one a repeat is another message')
  const random = seededRandom('unkind', options.seed ?? 1, topic.name)
  const keyed = Map.groupBy(payloads, (payload) => topic.key?.(payload as unknown as D))
  const bursts = shuffled([...keyed.values()], random)
  const work: WorkItem[] = []
  const late: WorkItem[] = []
  for (const payload of bursts.flat()) {
    const item = { topic, data: payload }
    work.push(item)
    if (random() < again.atOnce) work.push(item)
    if (random() < again.atTheEnd) late.push(item)
  }
  const first = bursts[0]?.[0]
  if (options.changed !== undefined && first !== undefined) late.push({ topic, data: options.changed(first) })
  for (const data of options.refused ?? []) {
    const id = `refused-${work.length}`
    work.splice(Math.floor(random() * (work.length + 1)), 0, { topic, data, id })
  }
  return [...work, ...shuffled(late, random)]
}

/** Fisher and Yates. */
function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const result = [...list]
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[result[last], result[other]] = [result[other] as T, result[last] as T]
  }
  return result
}
