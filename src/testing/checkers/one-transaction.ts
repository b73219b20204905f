import type { EffectOperation, Emitted, History, PublishOperation } from '../history.ts'
import type { At, Group, Handled, Message, Reading } from './reading.ts'
import { aboutGroup, entry, isClosed, mayBeApplied, named, readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/**
 * State, inbox and outbox change together: an effect has its inbox mark and every message it published, and neither is there
 * without the effect; a producer's fact is there if and only if its publish is. Where transactions are told, it is the same
 * one. Each part is judged only where the history writes such operations down.
 */
export function oneTransaction(history: History | Reading, options?: CheckOptions): Violation[] {
  const reading = readingOf(history, options)
  const caused = new Map<Handled, At<PublishOperation>[]>()
  const found: Violation[] = [...causes(reading, caused), ...facts(reading)]
  for (const group of reading.groups('one-transaction')) {
    for (const handled of group.handled.values()) {
      if (group.hasInbox) found.push(...inbox(handled, group))
      found.push(...outbox(handled, group, caused.get(handled) ?? [], reading.publishedTopics))
    }
  }
  return found
}

function* inbox(handled: Handled, group: Group): Iterable<Violation> {
  const { message, happened, inbox: marks } = handled
  const effect = happened[0]
  const mark = marks[0]
  const about = aboutGroup(message, group)
  if (effect !== undefined && mark === undefined) {
    const what = `Group ${group.group} committed the effect of ${named(message)}, and its inbox does not know of it.`
    yield violation('one-transaction', what, [effect.index], about)
  } else if (mark !== undefined && !mayBeApplied(handled) && !isClosed(handled)) {
    const what = `The inbox of group ${group.group} says that ${named(message)} was applied, and its effect is not there.`
    yield violation('one-transaction', what, [mark.index], about)
  } else if (effect !== undefined && mark !== undefined && marks.every((each) => apart(effect, each))) {
    const what = `Group ${group.group} committed the effect of ${named(message)} and its inbox mark in two transactions.`
    yield violation('one-transaction', what, [effect.index, mark.index], about)
  }
}

/** What an effect says it published, against what was published because of it. */
function* outbox(
  handled: Handled,
  group: Group,
  caused: readonly At<PublishOperation>[],
  topics: ReadonlySet<string>,
): Iterable<Violation> {
  const { message, happened } = handled
  const effect = happened[0]
  const emits = effect?.operation.emits
  if (effect === undefined || emits === undefined) return
  const about = aboutGroup(message, group)
  const published = caused.filter(({ operation }) => operation.outcome !== 'did-not-happen')
  for (const missing of missingOf(emits, published)) {
    if (!topics.has(missing.topic)) continue
    const name = missing.identity === undefined ? 'a message' : missing.identity
    const what = `Group ${group.group} committed the effect of ${named(message)}, and ${name} that it published to topic ${missing.topic} never left.`
    yield violation('one-transaction', what, [effect.index], about)
  }
  if (happened.length > 1) return
  for (const extra of extrasOf(emits, published)) {
    const what = `${extra.operation.identity} of topic ${extra.operation.topic} was published because of ${named(message)}, and the effect that committed did not publish it.`
    yield violation('one-transaction', what, [effect.index, extra.index], about)
  }
  for (const each of published) {
    if (!apart(effect, each)) continue
    const what = `${each.operation.identity} of topic ${each.operation.topic} was published in another transaction than the effect of ${named(message)} that caused it.`
    yield violation('one-transaction', what, [effect.index, each.index], about)
  }
}

/** Those with an identity are looked for by it, the others are counted. */
function missingOf(emits: readonly Emitted[], published: readonly At<PublishOperation>[]): Emitted[] {
  const left = remaining(published)
  const named = emits.filter((each) => each.identity !== undefined && left.get(each.topic)?.delete(each.identity) !== true)
  const counted = emits.filter((each) => {
    const any = each.identity === undefined ? left.get(each.topic)?.keys().next() : undefined
    if (each.identity !== undefined) return false
    if (any === undefined || any.done === true) return true
    left.get(each.topic)?.delete(any.value)
    return false
  })
  return [...named, ...counted]
}

/** Published for certain, and more than the effect says. */
function extrasOf(emits: readonly Emitted[], published: readonly At<PublishOperation>[]): At<PublishOperation>[] {
  const left = remaining(published.filter(({ operation }) => operation.outcome === 'happened'))
  for (const { topic, identity } of emits) if (identity !== undefined) left.get(topic)?.delete(identity)
  const minted = new Map<string, number>()
  for (const { topic, identity } of emits) if (identity === undefined) minted.set(topic, (minted.get(topic) ?? 0) + 1)
  return [...left].flatMap(([topic, ofTopic]) => [...ofTopic.values()].slice(minted.get(topic) ?? 0))
}

/** Topic → identity → a publish of it. */
function remaining(published: readonly At<PublishOperation>[]): Map<string, Map<string, At<PublishOperation>>> {
  const left = new Map<string, Map<string, At<PublishOperation>>>()
  for (const at of published) entry(left, at.operation.topic, () => new Map()).set(at.operation.identity, at)
  return left
}

/** Collects publishes by the message that caused them; accuses those whose cause was never applied. */
function* causes(reading: Reading, caused: Map<Handled, At<PublishOperation>[]>): Iterable<Violation> {
  for (const message of allMessages(reading)) {
    for (const at of message.publishes) {
      const { cause, outcome } = at.operation
      const group = cause && reading.groupsOf.get(cause.topic)?.get(cause.group)
      if (cause === undefined || group === undefined || group.effects.size === 0) continue
      const from = reading.messages.get(cause.topic)?.get(cause.identity)
      const handled = from && group.handled.get(from)
      if (handled !== undefined) entry(caused, handled, () => []).push(at)
      if (outcome !== 'happened' || (handled !== undefined && mayBeApplied(handled))) continue
      if (!reading.promised('one-transaction', group.group)) continue
      const what = `${named(message)} was published by the effect of ${cause.identity} in group ${cause.group}, and that effect never committed.`
      const undone = handled?.undone.at(-1)?.index ?? -1
      yield violation('one-transaction', what, [undone, at.index], cause)
    }
  }
}

/** A producer's own row and its publish. */
function* facts(reading: Reading): Iterable<Violation> {
  if (reading.facts.size === 0) return
  for (const message of allMessages(reading)) {
    const { topic, identity } = message
    const withFact = message.publishes.filter(({ operation }) => operation.fact !== undefined)
    const [first] = withFact
    if (first === undefined) continue
    const seen = withFact.flatMap(({ operation }) => reading.facts.get(operation.fact ?? '') ?? [])
    const fact = seen[0]
    if (fact === undefined && message.certain) {
      const what = `${named(message)} was published, and what its producer wrote in the same transaction is not there.`
      yield violation('one-transaction', what, [first.index], { topic, identity })
    } else if (fact !== undefined && !message.possible) {
      const what = `What the producer of ${named(message)} wrote is there, and the publish in the same transaction did not happen.`
      yield violation('one-transaction', what, [first.index, fact.index], { topic, identity })
    } else if (fact !== undefined && withFact.every((at) => apart(at, fact))) {
      const what = `${named(message)} and what its producer wrote with it committed in two transactions.`
      yield violation('one-transaction', what, [first.index, fact.index], { topic, identity })
    }
  }
}

function* allMessages(reading: Reading): Iterable<Message> {
  for (const ofTopic of reading.messages.values()) yield* ofTopic.values()
}

type InTransaction = { readonly operation: { readonly transaction?: string } }

function apart(one: InTransaction | At<EffectOperation>, other: InTransaction): boolean {
  const { transaction } = one.operation
  return transaction !== undefined && other.operation.transaction !== undefined && transaction !== other.operation.transaction
}
