import { callCard } from './card.ts'
import { attemptsOf } from './compose-attempts.ts'
import { composeCall } from './compose-call.ts'
import type { ConsumerGuarantee, Weakening, WindowGuarantee } from './guarantee.ts'
import type { DeclaredConsumer, Topology } from './topology.ts'
import { duration, number } from './words.ts'

export function composeConsumer(
  consumer: DeclaredConsumer,
  topology: Topology,
  inherited: readonly Weakening[],
): ConsumerGuarantee {
  const { topic, group, handler, settings } = consumer
  const where = `consume('${topic.name}', '${group}')`
  const calls = Object.entries(consumer.calls)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, call]) => composeCall(callCard(name, call), { where, maxAttempts: settings.maxAttempts }))
  return {
    topic: topic.name,
    group,
    semantics: settings.semantics,
    handler,
    startFrom: settings.startFrom,
    ...promiseOf(consumer, topology),
    order: { kind: topic.settings.order, says: orderSays(consumer, topology) },
    window: windowOf(consumer, topology),
    durability: durabilityOf(topology),
    attempts: attemptsOf(consumer),
    held: heldOf(consumer),
    calls,
    weakenedBy: [...ownWeakenings(consumer, where), ...calls.flatMap((call) => call.weakenedBy), ...inherited],
  }
}

/** In operational words: what commits, runs or is sent, and how often. */
function promiseOf(consumer: DeclaredConsumer, topology: Topology): Pick<ConsumerGuarantee, 'holds' | 'doesNotHold'> {
  const { handler, settings } = consumer
  const after = settings.startFrom === 'latest' ? ' accepted after the group was created' : ''
  const notSilent = `Every message${after} ends up done, discarded or erased by a named person, or visible in the attention list.`
  switch (settings.semantics) {
    case 'effectively-once':
      return {
        holds: [
          `For each identity, within the window, at most one transaction containing ${handler} commits, and the proof that it was applied commits with it.`,
          `What ${handler} publishes is sent if and only if that transaction commits.`,
          notSilent,
        ],
        doesNotHold: [
          `That ${handler} runs only once: an attempt whose transaction did not commit is undone and made again.`,
          `Anything ${handler} does outside its transaction (an e-mail, another database): that is a declared call's place.`,
        ],
      }
    case 'at-least-once':
      return {
        holds: ['The message is acknowledged after the handler has ended well, so the handler runs at least once.', notSilent],
        doesNotHold: [
          'Once: after a crash, a timeout, or a partition that went to another process, the handler runs again. Its `token` is the same each time.',
          ...(copiesComeAgain(topology)
            ? ['Copies that the broker hands over again: nothing recognises them, and the handler runs for each.']
            : []),
        ],
      }
    case 'at-most-once':
      return {
        holds: [
          'The message is acknowledged before the handler runs, so for each identity, within the window, the handler runs at most once.',
        ],
        doesNotHold: [
          'That it runs: a crash or an error in the handler loses the message, and nothing but an event tells of it.',
        ],
      }
  }
}

function orderSays({ topic, settings, calls }: DeclaredConsumer, { broker }: Topology): string {
  const { order } = topic.settings
  if (order === 'none' || broker.claims.order === 'none') return 'None is kept.'
  const one = order === 'total' ? 'One message' : 'One message of a key'
  const place = `a dead letter ${settings.onExhausted === 'skip' ? 'loses' : 'keeps'} its place`
  // Nothing fences a handler that has no transaction: a frozen process may finish it beside its successor's.
  const beside = `${one} at a time in the process that has the partition, in the order of the topic`
  switch (settings.semantics) {
    case 'effectively-once':
      return `${one} at a time, in the order of the topic${Object.keys(calls).length > 0 ? ', its calls included' : ''}; ${place}.`
    case 'at-least-once':
      return `${beside}; what is run again may run after later ones; ${place}.`
    case 'at-most-once':
      return `${beside}.`
  }
}

function copiesComeAgain({ broker }: Topology): boolean {
  return broker.claims['may hold duplicates'] !== false
}

function windowOf({ settings }: DeclaredConsumer, topology: Topology): WindowGuarantee {
  const { broker, brokerIsDatabase, dedupWindow } = topology
  const remembered = (ms: number, maxIds: number): string =>
    `for ${duration(ms)} or ${number(maxIds)} ids, whichever is over first`
  if (!copiesComeAgain(topology)) {
    // One identity has one offset, and the checkpoint commits with the effect.
    const ms = broker.claims['dedup window ms'] ?? dedupWindow.ms
    const maxIds = broker.claims['dedup window ids'] ?? dedupWindow.maxIds
    return {
      recognisedBy: brokerIsDatabase ? 'log' : 'broker',
      ms,
      maxIds,
      older: 'taken for a new message',
      sentByOutbox: 'as any other',
      says: `Repeats are recognised when they are published, ${remembered(ms, maxIds)}${brokerIsDatabase ? ', and as long as the first one waits' : ''}; a repeat that comes later is taken for a new message.`,
    }
  }
  if (settings.semantics === 'at-least-once')
    return {
      recognisedBy: 'nothing',
      ms: null,
      maxIds: null,
      older: 'run again',
      sentByOutbox: 'as any other',
      says: 'No repeat is recognised: the handler runs again.',
    }
  const { ms, maxIds } = dedupWindow
  return {
    recognisedBy: 'inbox',
    ms,
    maxIds,
    older: settings.semantics === 'effectively-once' ? 'waits for a person' : 'not run',
    sentByOutbox: 'for ever',
    says: `The group remembers identities ${remembered(ms, maxIds)}${
      settings.semantics === 'effectively-once'
        ? ', and as long as the message waits. A message known to be older, by the time its producer stated, waits for a person (late-message); where its age cannot be known, or its producer states a time over an hour ahead, it is applied again.'
        : '. A message known to be older is not run.'
    } What an outbox of Onefold has sent is known by its number for ever, whoever repeats it on the way.`,
  }
}

function durabilityOf({ database, broker }: Topology): ConsumerGuarantee['durability'] {
  const effects = database.claims['committed means on disk'] === true
  const messages = broker.claims['acknowledged means on disk'] === true
  const says = effects
    ? messages
      ? 'An accepted message and a committed effect survive the loss of power.'
      : 'A committed effect survives the loss of power; an accepted message may not.'
    : 'An accepted message and a committed effect survive the end of any process, not the loss of power.'
  return { onDisk: effects && messages, says }
}

function heldOf({ topic, settings }: DeclaredConsumer): ConsumerGuarantee['held'] {
  const { order } = topic.settings
  if (settings.semantics === 'at-most-once')
    return { until: 'nothing waits', says: 'There is no second attempt, so nothing waits behind one.' }
  if (order === 'none') return { until: 'nothing waits', says: 'A message that waits holds no other up.' }
  const behind =
    order === 'total' ? 'all later messages wait behind it' : 'later messages of its key wait behind it (other keys go on)'
  return settings.onExhausted === 'skip'
    ? {
        until: 'applied or dead letter',
        says: `While a message waits, ${behind}. A dead letter lets them pass; an unknown outcome or a late message does not.`,
      }
    : {
        until: 'applied or a person has acted',
        says: `While a message waits, ${behind} until it is applied or a person has acted.`,
      }
}

function ownWeakenings({ topic, settings }: DeclaredConsumer, where: string): Weakening[] {
  const { semantics, startFrom, onExhausted } = settings
  const found: Weakening[] = []
  if (semantics === 'at-least-once')
    found.push({
      option: 'semantics',
      value: semantics,
      where,
      says: 'the effect may happen again after a crash, and for every copy nothing recognises',
    })
  if (semantics === 'at-most-once')
    found.push({
      option: 'semantics',
      value: semantics,
      where,
      says: 'the effect may never happen: what fails or crashes after the acknowledgement is lost',
    })
  if (onExhausted === 'skip' && semantics !== 'at-most-once' && topic.settings.order !== 'none')
    found.push({
      option: 'onExhausted',
      value: onExhausted,
      where,
      says: 'gives up the order of a key after a dead letter: later messages are applied before it',
    })
  if (startFrom === 'latest')
    found.push({
      option: 'startFrom',
      value: startFrom,
      where,
      says: 'messages accepted before the group was created are never handed to it',
    })
  return found
}
