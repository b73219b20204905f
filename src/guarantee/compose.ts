import { composeConsumer } from './compose-consumer.ts'
import { composeBroker, composeDatabase } from './compose-engines.ts'
import { composeTopic } from './compose-topic.ts'
import type { Guarantee } from './guarantee.ts'
import { refusals } from './refusals.ts'
import type { Topology } from './topology.ts'

/**
 * The guarantee of a topology. Pure: the same cards and declarations give the same document, whatever their order.
 * Sentences are made of what the cards claim; where a claim is missing the worse is assumed.
 */
export function compose(topology: Topology): Guarantee {
  const database = composeDatabase(topology)
  const broker = composeBroker(topology)
  const consumed = topology.consumers.map(({ topic }) => topic)
  const byName = new Map([...topology.topics, ...consumed].map((topic) => [topic.name, topic]))
  const topics = [...byName.values()].map((topic) => composeTopic(topic, topology)).sort(by((topic) => topic.name))
  const consumers = topology.consumers
    .map((consumer) => {
      const topic = topics.find(({ name }) => name === consumer.topic.name)
      const inherited = [...database.weakenedBy, ...broker.weakenedBy, ...(topic?.weakenedBy ?? [])]
      return composeConsumer(consumer, topology, inherited)
    })
    .sort(by((consumer) => `${consumer.topic}\n${consumer.group}`))
  const composed = {
    format: 1,
    source: topology.source ?? null,
    database,
    broker,
    failureModel: failureModel(topology),
    topics,
    consumers,
  } as const
  return { ...composed, refusals: refusals(composed) }
}

function failureModel({ database, brokerIsDatabase }: Topology): Guarantee['failureModel'] {
  const onDisk = database.claims['committed means on disk'] === true
  return {
    covered: [
      'Any process may be killed at any instruction.',
      ...(onDisk ? ['The power may fail: the disk keeps what it was told to flush.'] : []),
      'A process may freeze for any time and come back: what it still commits as a former owner is refused by its epoch.',
      ...(brokerIsDatabase
        ? []
        : ['Messages and acknowledgements between the broker and this app may be lost, repeated or delayed.']),
      'Clocks may be wrong: they decide when something is tried, never whether it counts.',
    ],
    notCovered: [
      ...(onDisk ? [] : ['The loss of power: what was committed shortly before it may be gone.']),
      'A file restored from an old backup has forgotten what came after it.',
      'A disk that loses what it has flushed, and programs that write into the tables by themselves.',
    ],
  }
}

function by<T>(name: (value: T) => string): (a: T, b: T) => number {
  // Not localeCompare: the order must be the same on every machine.
  return (a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0)
}
