import type { AnyTopic } from '../topic.ts'
import type { TopicGuarantee, Weakening } from './guarantee.ts'
import type { Topology } from './topology.ts'
import { duration, number } from './words.ts'

export function composeTopic(topic: AnyTopic, topology: Topology): TopicGuarantee {
  const { name, settings } = topic
  const where = `topic('${name}')`
  const weakenedBy: Weakening[] = []
  if (topic.id === undefined) {
    weakenedBy.push({
      option: 'id',
      value: 'absent',
      where,
      says: "a message gets a fresh UUID: a producer's repeats are not recognised, unless it gives publish an id or a sequence",
    })
  }
  const idReuse = settings.idReuse ?? 'error'
  if (idReuse === 'ignore') {
    weakenedBy.push({
      option: 'idReuse',
      value: 'ignore',
      where,
      says: 'another body under a known identity is dropped as a repeat; nobody is told that it differed',
    })
  }
  if (settings.order === 'none')
    weakenedBy.push({ option: 'order', value: 'none', where, says: 'messages are applied in any order, also those of one key' })
  if (settings.order === 'key' && topic.key === undefined) {
    weakenedBy.push({
      option: 'key',
      value: 'absent',
      where,
      says: 'messages without a key have no order among them; only those that publish gives a key do',
    })
  }
  return {
    name,
    hasSchema: topic.schema !== undefined,
    identity: identityOf(topic, topology),
    idReuse: { is: idReuse, says: idReuseSays(idReuse, topology) },
    order: { kind: settings.order, keyed: topic.key !== undefined, says: orderSays(topic, topology) },
    retention: retentionOf(topic, topology),
    dedupWindow: dedupWindowOf(topology),
    weakenedBy,
  }
}

function identityOf(topic: AnyTopic, { source, broker }: Topology): TopicGuarantee['identity'] {
  const of = `(topic, source ${source ?? topic.name}, id)`
  if (topic.id === undefined) {
    return {
      from: 'publish option, or a fresh UUID',
      says: `${of} with the id given to publish, else a fresh UUID: a producer's repeats are not recognised.`,
    }
  }
  const repeat =
    broker.claims['recognises repeats'] === true
      ? "a producer's repeat is answered 'duplicate' and not stored"
      : "the broker takes a producer's repeat; each group's inbox recognises it"
  return { from: 'id function', says: `${of} with the id taken from the data: ${repeat}.` }
}

function idReuseSays(idReuse: 'error' | 'ignore', { broker }: Topology): string {
  if (idReuse === 'ignore') return 'Another body under a known identity counts as a repeat.'
  return broker.claims['recognises repeats'] === true
    ? 'Another body under a known identity is refused at publish (ID_REUSED).'
    : 'Another body under an identity that a group has received is a dead letter there (ID_REUSED).'
}

function orderSays({ settings, key }: AnyTopic, { broker }: Topology): string {
  if (settings.order === 'none' || broker.claims.order === 'none') return 'None is kept.'
  if (settings.order === 'total') return 'One partition: all messages, in its order.'
  return key === undefined
    ? 'Messages published with the same key: in the order of their partition. Messages without a key: none.'
    : 'Messages of the same key: in the order of their partition. Between keys: none.'
}

function retentionOf({ settings }: AnyTopic, { brokerIsDatabase }: Topology): TopicGuarantee['retention'] {
  if (!brokerIsDatabase) return { ms: null, says: 'The broker decides how long it keeps messages.' }
  return {
    ms: settings.retentionMs,
    says: `A message is removed when it is older than ${duration(settings.retentionMs)} and every group is past it. Without a group all is kept.`,
  }
}

function dedupWindowOf({ broker, dedupWindow }: Topology): TopicGuarantee['dedupWindow'] {
  const { claims } = broker
  if (claims['recognises repeats'] !== true)
    return { ms: null, maxIds: null, says: 'The broker recognises no repeated publish; a group may, by its inbox.' }
  const ms = claims['dedup window ms'] ?? dedupWindow.ms
  const maxIds = claims['dedup window ids'] ?? dedupWindow.maxIds
  return {
    ms,
    maxIds,
    says: `A repeated publish is recognised for ${duration(ms)} or ${number(maxIds)} ids, whichever is over first; one with a sequence for ever.`,
  }
}
