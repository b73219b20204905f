import { AnySignal } from '../../any-signal.ts'
import type { Assignment, SubscribeOptions } from '../../broker/broker.ts'
import { OnefoldError } from '../../errors.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Delivery, Envelope } from '../../message.ts'
import { partitionOf } from '../../partition-of.ts'
import type { AnyTopic } from '../../topic.ts'
import type { Incarnation, World } from './world.ts'
import { nobody } from './world.ts'

/**
 * How a simulated broker behaves. 'log': partitions with offsets; what was not settled comes again after a restart. 'log with
 * duplicates': the same, and a publish whose answer was lost may stand in it twice. 'queue': no offsets; it hands over again
 * what it likes, lets keys overtake each other, and forgets acknowledgements.
 */
export type Personality = 'log' | 'log with duplicates' | 'queue'

/** After this long without a sign of life the broker gives a process's partitions to another. */
const sessionMs = 300
/** Between the end of an owner and the next. */
const reassignMs = 5

interface Entry {
  readonly envelope: Envelope
  readonly offset: bigint
}

interface Forgetting {
  mayForget(): boolean
  /** False: not just now. */
  forget(subscription: Subscription): boolean
}

interface Share {
  readonly subscription: Subscription
  readonly partition: number
  readonly entries: readonly Entry[]
  /** Places in `entries` that are settled, as far as the broker remembers. */
  readonly settled: Set<number>
  owner: SimulatedAssignment | undefined
}

export interface Member {
  readonly self: Incarnation
  readonly subscription: Subscription
  readonly options: SubscribeOptions
  readonly fresh: SimulatedAssignment[]
  wake: (() => void) | undefined
}

const oneThatWasForgotten = 'an old one comes again, when its group has forgotten it'

const connectionLost = 'the connection is lost'

const key = ({ topic, group }: Subscription): string => `${topic}/${group}`

/** What the broker has on its own disk: no crash of ours touches it. */
export class BrokerWorld {
  readonly personality: Personality
  readonly #forgetting: Forgetting
  readonly world: World
  readonly partitions: number
  readonly #topics = new Map<string, Entry[][]>()
  readonly #shares = new Map<string, Share[]>()
  readonly #members = new Set<Member>()

  constructor(world: World, personality: Personality, partitions: number, forgetting: Forgetting) {
    this.world = world
    this.#forgetting = forgetting
    this.personality = personality
    this.partitions = partitions
  }

  *messages(): Generator<{ readonly topic: string; readonly envelope: Envelope }> {
    for (const [topic, partitions] of this.#topics)
      for (const entries of partitions) for (const { envelope } of entries) yield { topic, envelope }
  }

  /** What no member of a group has settled yet, in words; '' for nothing. */
  whatIsLeft(): string {
    return [...this.#shares]
      .flatMap(([name, shares]) => {
        const open = shares.reduce((sum, share) => sum + (share.owner?.open ?? share.entries.length - share.settled.size), 0)
        return open > 0 ? [`${name}, at the broker: ${open}`] : []
      })
      .join(', ')
  }

  /** The group's window forgets all it knows, where that is all there will be, and each message states one time. */
  forget(subscription: Subscription): void {
    const times = new Map<string, number>()
    const apart = [...this.messages()].some(({ topic, envelope: { id, timeMs } }) => {
      if (topic !== subscription.topic) return false
      const before = times.get(id) ?? timeMs
      times.set(id, before)
      return before !== timeMs
    })
    if (!apart && this.#forgetting.mayForget()) this.#forgetting.forget(subscription)
  }

  append(topic: AnyTopic, envelopes: readonly Envelope[]): void {
    const partitions = this.#partitionsOf(topic.name, topic.settings.order === 'total' ? 1 : this.partitions)
    for (const envelope of envelopes) {
      const entries = partitions[partitionOf(envelope.key ?? envelope.id, partitions.length)] as Entry[]
      entries.push({ envelope, offset: BigInt(entries.length + 1) })
    }
    for (const shares of this.#shares.values())
      for (const { subscription, owner } of shares) if (subscription.topic === topic.name) owner?.wake()
  }

  join(member: Member, partitions: number): void {
    const name = key(member.subscription)
    if (!this.#shares.has(name)) {
      const shares = this.#partitionsOf(member.subscription.topic, partitions).map(
        (entries, partition): Share => ({
          subscription: member.subscription,
          partition,
          entries,
          settled: new Set(),
          owner: undefined,
        }),
      )
      this.#shares.set(name, shares)
    }
    this.#members.add(member)
    member.self.onDeath.push(() => this.leave(member))
    member.self.onFreeze.push(() => this.#frozen(member.self))
    this.#assign(name)
  }

  leave(member: Member): void {
    this.#members.delete(member)
    member.wake?.()
    this.world.timer(nobody, reassignMs, () => this.#assign(key(member.subscription)))
  }

  /** Who has been silent for a session loses what it has; it hears of that when it wakes. */
  #frozen(self: Incarnation): void {
    const lost: SimulatedAssignment[] = []
    const look = (): void => {
      const silent = self.frozenUntilMs > this.world.nowMs
      for (const [name, shares] of this.#shares) {
        for (const share of shares)
          if (silent && share.owner?.self === self) {
            lost.push(share.owner)
            share.owner = undefined
          }
        this.#assign(name)
      }
    }
    this.world.timer(nobody, sessionMs, look)
    // Whoever wakes hears what it has lost, is a member again, and gets what nobody else has.
    this.world.timer(nobody, self.frozenUntilMs - this.world.nowMs + 1, () => {
      for (const assignment of lost) assignment.wake()
      look()
    })
  }

  #partitionsOf(topic: string, count: number): Entry[][] {
    let partitions = this.#topics.get(topic)
    if (partitions === undefined) {
      partitions = Array.from({ length: count }, () => [])
      this.#topics.set(topic, partitions)
    }
    return partitions
  }

  #assign(name: string): void {
    const members = [...this.#members].filter(
      ({ self, subscription }) => key(subscription) === name && !self.dead && self.frozenUntilMs <= this.world.nowMs,
    )
    for (const share of this.#shares.get(name) ?? []) {
      const { owner } = share
      if (owner !== undefined && !owner.self.dead && this.#members.has(owner.member) && !owner.ended) continue
      const member = members[share.partition % Math.max(1, members.length)]
      if (member === undefined) {
        share.owner = undefined
        continue
      }
      const assignment = new SimulatedAssignment(this, member, share)
      share.owner = assignment
      member.fresh.push(assignment)
      this.world.call({ owner: member.self, label: 'an assignment', locks: false, faults: [], begin: () => member.wake?.() })
    }
  }

  ended(assignment: SimulatedAssignment): void {
    this.world.timer(nobody, reassignMs, () => this.#assign(key(assignment.subscription)))
  }
}

class SimulatedAssignment implements Assignment {
  readonly subscription: Subscription
  readonly partition: string
  readonly lease = undefined
  readonly revoked: AbortSignal
  readonly lost: AbortSignal
  readonly member: Member
  ended = false
  readonly #broker: BrokerWorld
  readonly #share: Share
  readonly #end = new AbortController()
  readonly #places = new WeakMap<Delivery, number>()
  /** Places not handed over yet by this assignment. */
  #cursor = 0
  readonly #out = new Set<number>()
  #waiting: (() => void) | undefined

  constructor(broker: BrokerWorld, member: Member, share: Share) {
    this.#broker = broker
    this.member = member
    this.#share = share
    this.subscription = share.subscription
    this.partition = String(share.partition)
    this.revoked = this.#end.signal
    this.lost = this.#end.signal
  }

  get self(): Incarnation {
    return this.member.self
  }

  get open(): number {
    return this.#share.entries.length - this.#cursor + this.#out.size
  }

  get #mine(): boolean {
    return this.#share.owner === this
  }

  async start(): Promise<void> {
    const from = await this.member.options.from(this.partition)
    const remembers = this.#broker.personality !== 'queue'
    this.#cursor = remembers && from !== undefined ? Number(from) : this.#firstUnsettled()
  }

  #firstUnsettled(): number {
    let place = 0
    while (this.#share.settled.has(place)) place++
    return place
  }

  wake(): void {
    const { world } = this.#broker
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    world.call({ owner: this.self, label: 'a notice of messages', locks: false, faults: [], begin: () => waiting() })
  }

  async next(limit: number, signal: AbortSignal): Promise<readonly Delivery[] | undefined> {
    using either = new AnySignal([signal, this.revoked])
    while (!either.aborted) {
      if (!this.#mine) {
        this.#end.abort()
        break
      }
      const { entries } = this.#share
      if (this.#cursor < entries.length) return await this.#handOver(limit, either.signal)
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
        either.signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    return undefined
  }

  #handOver(limit: number, signal: AbortSignal): Promise<readonly Delivery[] | undefined> {
    const { world, personality } = this.#broker
    return new Promise((resolve, reject) => {
      world.call({
        owner: this.self,
        label: `receive ${key(this.subscription)}`,
        locks: false,
        faults: [
          ...(personality === 'queue'
            ? ['one comes twice', 'an old one comes again', 'keys overtake each other', oneThatWasForgotten]
            : []),
          connectionLost,
        ],
        begin: (fault) => {
          if (fault === connectionLost) return reject(this.#cut())
          if (signal.aborted || !this.#mine) return resolve(this.#mine ? [] : undefined)
          resolve(this.#batch(limit, fault))
        },
      })
    })
  }

  #cut(): OnefoldError {
    this.#broker.world.tell(this.self, `loses the connection to the broker: ${key(this.subscription)}`)
    return new OnefoldError('DATABASE_IO', 'the connection to the simulated broker is lost.', { retry: 'later' })
  }

  #batch(limit: number, fault: string): Delivery[] {
    const { world, personality } = this.#broker
    const { entries } = this.#share
    const places: number[] = []
    while (this.#cursor < entries.length && places.length < limit) places.push(this.#cursor++)
    for (const place of places) this.#out.add(place)
    if (fault === 'one comes twice') places.push(places[0] as number)
    if (fault === oneThatWasForgotten) this.#broker.forget(this.subscription)
    if (fault === 'an old one comes again' || fault === oneThatWasForgotten) places.unshift(0)
    if (fault === 'keys overtake each other') {
      // First deliveries of one key keep their order; those of others do not.
      const lane = (place: number): string => entries[place]?.envelope.key ?? `#${place}`
      const first = lane(places[0] as number)
      places.sort((a, b) => Number(lane(a) === first) - Number(lane(b) === first) || a - b)
    }
    if (fault !== 'nothing goes wrong') world.tell(this.self, `${key(this.subscription)}: ${fault}`)
    return places.map((place) => {
      const { envelope, offset } = entries[place] as Entry
      const delivery: Delivery =
        personality === 'queue' ? { envelope, redelivered: 'unknown' } : { envelope, offset, redelivered: false }
      this.#places.set(delivery, place)
      return delivery
    })
  }

  settle(done: readonly { readonly delivery: Delivery; readonly as: 'done' | 'again' }[]): Promise<void> {
    const { world } = this.#broker
    return new Promise((resolve, reject) => {
      world.call({
        owner: this.self,
        label: `acknowledge ${key(this.subscription)}`,
        locks: false,
        faults: ['killed before it', 'acknowledgement lost', 'frozen before it', connectionLost],
        begin: (fault) => {
          if (fault === 'killed before it') return world.crash(this.self, `before it acknowledged ${key(this.subscription)}`)
          if (fault === connectionLost) return reject(this.#cut())
          for (const { delivery, as } of done) {
            const place = this.#places.get(delivery)
            if (place === undefined) continue
            this.#out.delete(place)
            if (as === 'again') this.#cursor = Math.min(this.#cursor, place)
            else if (fault !== 'acknowledgement lost' && this.#mine) this.#share.settled.add(place)
          }
          if (fault === 'acknowledgement lost') world.tell(this.self, `acknowledges ${key(this.subscription)}; it is lost`)
          resolve()
        },
      })
    })
  }

  async drained(): Promise<boolean> {
    return this.#cursor >= this.#share.entries.length
  }

  async released(): Promise<void> {
    this.ended = true
    if (this.#mine) this.#broker.ended(this)
  }
}
