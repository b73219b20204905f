/** A history read once, for all checkers: what is known of every message, and of every group that handles it. */
import type { Semantics } from '../../consume/consume-options.ts'
import type {
  AttentionOperation,
  ChargeOperation,
  EffectOperation,
  EndOperation,
  FactOperation,
  History,
  InboxOperation,
  MessageOfGroup,
  Operation,
  PersonOperation,
  PublishOperation,
  RequestOperation,
  SettleOperation,
  SnapshotOperation,
} from '../history.ts'
import type { CheckerName, CheckOptions } from './violation.ts'
import { ofGroup, waived } from './violation.ts'

/** 'perhaps': an outcome was unknown; then nobody is accused of either. */
export type Certainty = 'no' | 'perhaps' | 'yes'

/** An operation and its place. */
export interface At<O extends Operation> {
  readonly index: number
  readonly operation: O
}

/** What is known of a message, whoever consumes it. */
export interface Message {
  readonly topic: string
  readonly identity: string
  publishes: readonly At<PublishOperation>[]
  key: string | undefined
  producer: string | undefined
  /** It was published: somebody was told so, or what only its publish can have caused is there. */
  certain: boolean
  /** A publish of it may have happened. */
  possible: boolean
  erased: Certainty
  /** The first publish that may have happened. */
  since: number
  /**
   * Its place among what its producer published lies between these two. A publish with an unknown outcome, repeated later,
   * has its place at the first, at the second or between.
   */
  earliest: number
  latest: number
}

/** What one group did with one message. */
export interface Handled {
  readonly message: Message
  readonly group: Group
  /** Attempts that committed, in the order of their commits. */
  happened: readonly At<EffectOperation>[]
  /** Attempts that may have committed. */
  unknown: readonly At<EffectOperation>[]
  undone: readonly At<EffectOperation>[]
  inbox: readonly At<InboxOperation>[]
  attention: readonly At<AttentionOperation>[]
  requests: readonly At<RequestOperation>[]
  settled: readonly At<SettleOperation>[]
  charges: readonly At<ChargeOperation>[]
  /** Discarded or put aside, for all we know. */
  closed: Certainty
  /** Where a person last sent it on. */
  sentOnAt: number
}

/** One group's consumption of one topic. */
export interface Group {
  readonly topic: string
  readonly group: string
  /** Only what is published after this operation is owed; -1: everything. */
  owedFrom: number
  readonly handled: Map<Message, Handled>
  /** Committed or perhaps committed, by replica, in the order of the history. */
  readonly effects: Map<string, Applied[]>
  hasInbox: boolean
}

export interface Applied extends At<EffectOperation> {
  readonly handled: Handled
}

export class Reading {
  readonly history: History
  readonly options: CheckOptions
  /** Topic → identity → message, in the order in which they were first seen. */
  readonly messages = new Map<string, Map<string, Message>>()
  /** Topic → group. */
  readonly groupsOf = new Map<string, Map<string, Group>>()
  /** Topics of which publishes are written down. */
  readonly publishedTopics = new Set<string>()
  readonly facts = new Map<string, At<FactOperation>[]>()
  readonly snapshots: At<SnapshotOperation>[] = []
  /** Workers and producers that a fault ended for good. */
  readonly ended = new Set<string>()
  lastFault = -1
  end: At<EndOperation> | undefined
  #waiting: Map<string, Map<string, Set<string>>> | undefined
  readonly #behind = new Map<Group, Map<string, Map<string | undefined, number>>>()

  constructor(history: History, options: CheckOptions = {}) {
    this.history = history
    this.options = options
    const persons: At<PersonOperation>[] = []
    for (const [index, operation] of history.entries()) this.#read(index, operation, persons)
    for (const ofTopic of this.messages.values()) for (const message of ofTopic.values()) this.#placeOf(message)
    for (const ofTopic of this.groupsOf.values()) {
      for (const group of ofTopic.values()) {
        for (const handled of group.handled.values()) if (isSeen(handled)) handled.message.certain ||= handled.message.possible
      }
    }
    this.#judgePersons(persons)
  }

  /** Groups to which a promise was made, with all their topics. */
  *groups(checker: CheckerName): Iterable<Group> {
    for (const ofTopic of this.groupsOf.values()) {
      for (const group of ofTopic.values()) {
        if (this.promised(checker, group.group)) yield group
      }
    }
  }

  promised(checker: CheckerName, group: string): boolean {
    return !waived[this.semantics(group)].includes(checker)
  }

  semantics(group: string): Semantics {
    return ofGroup(this.options.semantics, group, 'effectively-once')
  }

  order(group: string): 'key' | 'total' | 'causal' | 'none' {
    return ofGroup(this.options.promises?.order, group, 'key')
  }

  /** A message in attention holds up the later ones of its lane. */
  holds(group: string): boolean {
    return this.order(group) !== 'none' && ofGroup(this.options.promises?.onExhausted, group, 'hold') === 'hold'
  }

  *owed(group: Group): Iterable<Message> {
    for (const message of this.messages.get(group.topic)?.values() ?? []) {
      if (message.certain && message.since >= group.owedFrom) yield message
    }
  }

  /** The system itself shows it as on its way; undefined: it was not asked. */
  isWaiting(message: Message, group: string): boolean | undefined {
    if (this.end?.operation.waiting === undefined) return undefined
    if (this.#waiting === undefined) {
      this.#waiting = new Map()
      for (const { topic, identity, group } of this.end.operation.waiting) {
        const ofTopic = entry(this.#waiting, topic, () => new Map<string, Set<string>>())
        entry(ofTopic, identity, () => new Set<string>()).add(group ?? '')
      }
    }
    const groups = this.#waiting.get(message.topic)?.get(message.identity)
    return groups !== undefined && (groups.has('') || groups.has(group))
  }

  /** It may be held up by an earlier one that a person has. */
  mayBeBehind(message: Message, group: Group): boolean {
    if (!this.holds(group.group)) return false
    // Causes may be of any key.
    const laneOf = (each: Message): string | undefined => (this.order(group.group) === 'key' ? each.key : '')
    const lane = laneOf(message)
    if (lane === undefined) return false
    let lanes = this.#behind.get(group)
    if (lanes === undefined) {
      lanes = new Map()
      for (const handled of group.handled.values()) {
        const heldLane = laneOf(handled.message)
        if (heldLane === undefined || handled.closed === 'yes' || handled.message.erased === 'yes' || !isWithPerson(handled))
          continue
        const first = entry(lanes, heldLane, () => new Map<string | undefined, number>())
        const { producer, earliest } = handled.message
        first.set(producer, Math.min(earliest, first.get(producer) ?? earliest))
      }
      this.#behind.set(group, lanes)
    }
    for (const [producer, earliest] of lanes.get(lane) ?? []) {
      if (producer === undefined || producer !== message.producer || earliest <= message.latest) return true
    }
    return false
  }

  /** Messages of one lane are applied in order; undefined: it has none. */
  lane(message: Message, group: string): string | undefined {
    return this.order(group) === 'total' ? '' : message.key
  }

  #read(index: number, operation: Operation, persons: At<PersonOperation>[]): void {
    switch (operation.op) {
      case 'consumer': {
        const group = this.#group(operation)
        if (operation.from === 'latest') group.owedFrom = index
        break
      }
      case 'publish': {
        const message = this.#message(operation)
        message.publishes = added(message.publishes, { index, operation })
        this.publishedTopics.add(operation.topic)
        break
      }
      case 'effect': {
        const handled = this.#handled(operation)
        if (operation.outcome === 'did-not-happen') handled.undone = added(handled.undone, { index, operation })
        else {
          const applied = { index, operation, handled }
          if (operation.outcome === 'happened') handled.happened = added(handled.happened, applied)
          else handled.unknown = added(handled.unknown, applied)
          entry(handled.group.effects, operation.replica ?? '', () => [] as Applied[]).push(applied)
        }
        break
      }
      case 'inbox': {
        const handled = this.#handled(operation)
        handled.inbox = added(handled.inbox, { index, operation })
        handled.group.hasInbox = true
        break
      }
      case 'fact':
        entry(this.facts, operation.fact, () => [] as At<FactOperation>[]).push({ index, operation })
        break
      case 'request': {
        const handled = this.#handled(operation)
        handled.requests = added(handled.requests, { index, operation })
        break
      }
      case 'settle': {
        const handled = this.#handled(operation)
        handled.settled = added(handled.settled, { index, operation })
        break
      }
      case 'charge': {
        const handled = this.#handled(operation)
        handled.charges = added(handled.charges, { index, operation })
        break
      }
      case 'attention': {
        const handled = this.#handled(operation)
        handled.attention = added(handled.attention, { index, operation })
        break
      }
      case 'person':
        persons.push({ index, operation })
        break
      case 'snapshot':
        this.snapshots.push({ index, operation })
        break
      case 'fault':
        this.lastFault = index
        if (operation.ends !== undefined) this.ended.add(operation.ends)
        break
      case 'end':
        this.end = { index, operation }
        break
    }
  }

  #message({ topic, identity }: { readonly topic: string; readonly identity: string }): Message {
    const ofTopic = entry(this.messages, topic, () => new Map<string, Message>())
    return entry(ofTopic, identity, () => ({
      topic,
      identity,
      publishes: none,
      key: undefined,
      producer: undefined,
      certain: false,
      possible: false,
      erased: 'no',
      since: -1,
      earliest: Number.NEGATIVE_INFINITY,
      latest: Number.POSITIVE_INFINITY,
    }))
  }

  #group({ topic, group }: { readonly topic: string; readonly group: string }): Group {
    const ofTopic = entry(this.groupsOf, topic, () => new Map<string, Group>())
    return entry(ofTopic, group, () => ({
      topic,
      group,
      owedFrom: -1,
      handled: new Map(),
      effects: new Map(),
      hasInbox: false,
    }))
  }

  #handled(name: MessageOfGroup): Handled {
    const message = this.#message(name)
    const group = this.#group(name)
    return entry(group.handled, message, () => ({
      message,
      group,
      happened: none,
      unknown: none,
      undone: none,
      inbox: none,
      attention: none,
      requests: none,
      settled: none,
      charges: none,
      closed: 'no',
      sentOnAt: -1,
    }))
  }

  #placeOf(message: Message): void {
    const mayHave = message.publishes.filter(({ operation }) => operation.outcome !== 'did-not-happen')
    const known = mayHave.find(({ operation }) => operation.outcome === 'happened')
    const { key, producer } = (mayHave[0] ?? message.publishes[0])?.operation ?? {}
    message.key = key
    message.producer = producer
    message.possible = mayHave.length > 0
    message.since = mayHave[0]?.index ?? -1
    message.certain = known !== undefined || mayHave.some(({ operation: { fact } }) => fact !== undefined && this.facts.has(fact))
    if (producer === undefined) return
    const placeOf = ({ index, operation }: At<PublishOperation>): number => operation.order ?? index
    const own = mayHave.filter(({ operation }) => operation.producer === producer)
    if (own.length > 0 && own.length === mayHave.length)
      message.earliest = own.reduce((least, at) => Math.min(least, placeOf(at)), Infinity)
    for (const at of own) {
      if (at.operation.outcome === 'happened') message.latest = Math.min(message.latest, placeOf(at))
    }
  }

  #judgePersons(persons: readonly At<PersonOperation>[]): void {
    const erasedKeys = new Map<string, Map<string, { readonly until: number; readonly sure: Certainty }>>()
    for (const { index, operation } of persons) {
      const { action, outcome, topic, group, identity, key } = operation
      if (outcome === 'did-not-happen') continue
      const sure = outcome === 'happened' ? 'yes' : 'perhaps'
      if (action === 'erase') {
        if (identity !== undefined) this.#message({ topic, identity }).erased = sure
        else if (key !== undefined) entry(erasedKeys, topic, () => new Map()).set(key, { until: index, sure })
      } else if (group !== undefined && identity !== undefined) {
        const handled = this.#handled({ topic, group, identity })
        if (action === 'discard' || action === 'put-aside') handled.closed = sure
        else if (sure === 'yes') handled.sentOnAt = index
      }
    }
    for (const [topic, keys] of erasedKeys) {
      for (const message of this.messages.get(topic)?.values() ?? []) {
        const erased = message.key === undefined ? undefined : keys.get(message.key)
        if (erased === undefined || message.since > erased.until) continue
        // Repeated after it was erased: perhaps only that one was published.
        message.erased = (message.publishes.at(-1)?.index ?? -1) < erased.until ? erased.sure : 'perhaps'
      }
    }
  }
}

/** Most lists stay empty: they share this one. */
const none: readonly never[] = []

function added<T>(list: readonly T[], one: T): readonly T[] {
  if (list.length === 0) return [one]
  ;(list as T[]).push(one)
  return list
}

/** A reading may be handed to every checker, so that a history is read once for all of them. */
export function readingOf(history: History | Reading, options?: CheckOptions): Reading {
  return history instanceof Reading ? history : new Reading(history, options)
}

/** The group got it, so it was published: even an attempt that was rolled back shows that. */
function isSeen({ happened, unknown, undone, inbox, attention, requests, settled, charges }: Handled): boolean {
  return [happened, unknown, undone, inbox, attention, requests, settled, charges].some((list) => list.length > 0)
}

/** It will not be applied any more, and nobody is owed it. */
export function isClosed(handled: Handled): boolean {
  return handled.closed !== 'no' || handled.message.erased !== 'no'
}

/** A person has it, as far as we know. */
export function isWithPerson(handled: Handled): boolean {
  return (handled.attention.at(-1)?.index ?? -1) > handled.sentOnAt
}

/** It has been applied, or may have been. */
export function mayBeApplied(handled: Handled): boolean {
  return handled.happened.length + handled.unknown.length > 0
}

/** Any operation that says it was published: a certain one if there is one. */
export function publishOf(message: Message): number {
  const certain = message.publishes.find(({ operation }) => operation.outcome === 'happened')
  return (
    (certain ?? message.publishes.find(({ operation }) => operation.outcome === 'unknown') ?? message.publishes[0])?.index ?? -1
  )
}

export function named(message: Message): string {
  return `${message.identity} of topic ${message.topic}`
}

export function aboutGroup({ topic, identity }: Message, { group }: Group): MessageOfGroup {
  return { topic, group, identity }
}

/** The value of a key, made when it is not there. */
export function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
