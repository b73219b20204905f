import type { History } from '../history.ts'
import type { Applied, Group, Message, Reading } from './reading.ts'
import { aboutGroup, entry, isClosed, named, publishOf, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * Where order is 'causal': a message is applied only after everything it may have been caused by (what its producer published
 * before, what it had seen, and so on) as far as that group consumes it. Judged by vector clocks that are made here, from
 * the links in the history, never by those of the system under test. Cost: messages × producers.
 */
export function causalOrder(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const byName = new Map<string, Group[]>()
  for (const group of reading.groups('causal-order')) {
    if (reading.order(group.group) === 'causal') entry(byName, group.group, () => [] as Group[]).push(group)
  }
  if (byName.size === 0) return []
  const clocks = new Clocks(reading)
  return [...byName.values()].flatMap((topics) => [...ofOneGroup(reading, clocks, topics)])
}

function* ofOneGroup(reading: Reading, clocks: Clocks, topics: readonly Group[]): Iterable<Violation> {
  const groupOf = new Map(topics.map((group) => [group.topic, group]))
  const owed = topics.flatMap((group) => [...reading.owed(group)].map((message) => ({ message, group })))
  const mayBeMissing = ({ message, group }: { message: Message; group: Group }): boolean => {
    const handled = group.handled.get(message)
    return handled !== undefined && (isClosed(handled) || handled.unknown.length > 0 || handled.attention.length > 0)
  }
  /** By producer: what must have been applied, in its order. */
  const lines = new Map<string, Message[]>()
  const must = new Set<Message>()
  for (const each of owed) {
    if (each.message.erased !== 'no' || mayBeMissing(each)) continue
    must.add(each.message)
    const { producer } = each.message
    if (producer !== undefined) entry(lines, producer, () => [] as Message[]).push(each.message)
  }
  for (const line of lines.values()) line.sort((a, b) => clocks.numberOf(a) - clocks.numberOf(b))

  for (const effects of inHistoryOrder(topics)) {
    const applied = new Set<Message>()
    const firstOf = new Map<Message, number>()
    for (const { index, handled } of effects.toReversed()) firstOf.set(handled.message, index)
    const next = new Map<string, number>()
    for (const at of effects) {
      const { message } = at.handled
      if (at.operation.outcome === 'happened' && !applied.has(message)) {
        const missing = firstMissing(message)
        const group = groupOf.get(message.topic)
        if (missing !== undefined && group !== undefined) {
          const what = `Group ${group.group} applied ${named(message)} before ${named(missing)}, which came before it in what caused it.`
          const evidence = [publishOf(missing), publishOf(message), at.index, firstOf.get(missing) ?? -1]
          yield violation('causal-order', what, evidence, aboutGroup(message, group))
        }
      }
      applied.add(message)
    }

    function firstMissing(message: Message): Message | undefined {
      for (const cause of clocks.causesOf(message)) if (must.has(cause) && !applied.has(cause)) return cause
      for (const [producer, number] of clocks.of(message)) {
        const line = lines.get(producer)
        if (line === undefined) continue
        let position = next.get(producer) ?? 0
        for (let first = line[position]; first !== undefined && applied.has(first); first = line[position]) position++
        next.set(producer, position)
        const first = line[position]
        if (first !== undefined && first !== message && clocks.numberOf(first) <= number) return first
      }
      return undefined
    }
  }
}

/** A replica applies the topics of its group in one order. */
function inHistoryOrder(topics: readonly Group[]): Applied[][] {
  const replicas = new Map<string, Applied[]>()
  for (const { effects } of topics) {
    for (const [replica, applied] of effects) replicas.set(replica, [...(replicas.get(replica) ?? []), ...applied])
  }
  return [...replicas.values()].map((applied) => applied.sort((a, b) => a.index - b.index))
}

type Clock = ReadonlyMap<string, number>

/**
 * A message may have its place anywhere from `earliest` to `latest`. It counts as before another only where it is so at every
 * place that both may have.
 */
class Clocks {
  readonly #reading: Reading
  readonly #clocks = new Map<Message, Clock>()
  readonly #numbers = new Map<Message, number>()
  readonly #before = new Map<Message, Message>()

  constructor(reading: Reading) {
    this.#reading = reading
    const lines = new Map<string, Message[]>()
    for (const ofTopic of reading.messages.values()) {
      for (const message of ofTopic.values()) {
        if (message.possible && message.producer !== undefined) entry(lines, message.producer, () => []).push(message)
      }
    }
    for (const line of lines.values()) {
      line.sort((a, b) => (a.latest < b.latest ? -1 : Number(a.latest > b.latest)))
      for (const [index, message] of line.entries()) this.#numbers.set(message, index + 1)
      const byEarliest = line.toSorted((a, b) => (a.earliest < b.earliest ? -1 : Number(a.earliest > b.earliest)))
      let count = 0
      for (const message of byEarliest) {
        while ((line[count]?.latest ?? Infinity) < message.earliest) count++
        const before = line[count - 1]
        if (before !== undefined) this.#before.set(message, before)
      }
    }
  }

  /** From 1: its place among what its producer published, at the latest. */
  numberOf(message: Message): number {
    return this.#numbers.get(message) ?? 0
  }

  /** Messages it names as its causes. */
  causesOf(message: Message): Message[] {
    // What a repeat had seen more was no cause of it if the first publish happened.
    const first = message.publishes.find(({ operation }) => operation.outcome !== 'did-not-happen')?.operation
    const names = [...(first?.after ?? []), ...(first?.cause === undefined ? [] : [first.cause])]
    return names.flatMap(({ topic, identity }) => {
      const cause = this.#reading.messages.get(topic)?.get(identity)
      return cause === undefined || cause === message ? [] : [cause]
    })
  }

  /** By producer, how many of its messages come before this one or are it. */
  of(message: Message): Clock {
    const stack = [message]
    const open = new Set<Message>()
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const before = this.#clocks.has(top)
        ? []
        : this.#cameBefore(top).filter((each) => !this.#clocks.has(each) && !open.has(each))
      // A circle of causes is cut where it closes.
      if (open.has(top) || before.length === 0) {
        if (!this.#clocks.has(top)) this.#clocks.set(top, this.#merge(top))
        open.delete(top)
        stack.pop()
      } else {
        open.add(top)
        stack.push(...before)
      }
    }
    return this.#clocks.get(message) ?? new Map()
  }

  #cameBefore(message: Message): Message[] {
    const before = this.#before.get(message)
    return before === undefined ? this.causesOf(message) : [before, ...this.causesOf(message)]
  }

  #merge(message: Message): Clock {
    const merged = new Map<string, number>()
    for (const before of this.#cameBefore(message)) {
      for (const [producer, number] of this.#clocks.get(before) ?? []) {
        if (number > (merged.get(producer) ?? 0)) merged.set(producer, number)
      }
    }
    const { producer, earliest, latest } = message
    if (producer !== undefined) {
      const before = this.#before.get(message)
      const own = earliest === latest ? this.numberOf(message) : before === undefined ? 0 : this.numberOf(before)
      merged.set(producer, Math.max(own, merged.get(producer) ?? 0))
    }
    return merged
  }
}
