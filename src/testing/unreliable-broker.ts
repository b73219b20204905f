import type { Assignment, Broker } from '../broker/broker.ts'
import { optionInvalid } from '../errors.ts'
import type { Subscription } from '../inbox/inbox-store.ts'
import type { Delivery } from '../message.ts'
import type { AnyTopic } from '../topic.ts'
import { seededRandom } from './seeded-random.ts'

export interface UnreliableOptions {
  /** The same seed and the same order of calls give the same misbehaviour. */
  readonly seed: number
  /** Chance that a delivery is handed over again before it was settled, in the same batch or in a later one: 0 to 1, default 0. */
  readonly duplicate?: number
  /** Chance that a message is overtaken by one of another key, and that a key is held back for a batch: 0 to 1, default 0. */
  readonly reorder?: number
  /** Chance that a delivery is handed over again after it was settled as done: 0 to 1, default 0. */
  readonly redeliver?: number
  /** Chance, per call of `settle`, that the next acknowledgements are forgotten: 0 to 1, default `redeliver`. */
  readonly forget?: number
  /** Uniform in [0, 1). Default: derived from `seed`, one sequence per assignment. */
  readonly random?: () => number
}

/** How often what was done, by this process. */
export interface UnreliableCounts {
  /** Messages handed over for the first time by an assignment. */
  readonly delivered: number
  /** Handed over again before they were settled. */
  readonly duplicated: number
  /** Handed over again after they were settled. */
  readonly redelivered: number
  /** Messages overtaken by a later one of another key. */
  readonly overtaken: number
  /** Acknowledgements not passed on at once. They are passed on late, or never when the assignment ends first. */
  readonly forgotten: number
}

export type UnreliableBroker = Broker & { counts(): UnreliableCounts }

/** What one assignment keeps in memory at most. */
const limits = {
  waiting: 2_000,
  late: 2_000,
  unacknowledged: 4_000,
  copies: 4,
  forgottenInARow: 64,
  lateBatches: 8,
  heldBatches: 3,
}

/**
 * Any broker, made as unpleasant as a real one may be: messages arrive again (at once, later, after they were
 * acknowledged, after a restart), overtake each other across keys, and acknowledgements get lost. Offsets are taken
 * off and `redelivered` is always 'unknown', so that nothing but the inbox can tell a repeat from a new message.
 *
 * Guaranteed all the same, as every broker must: each message is handed over at least once, and *first* deliveries of
 * one key come in order. A late copy of an older message may come at any time. Order 'total' is kept for first
 * deliveries too. `publish` is passed on unchanged: a log that knows its identities would recognise a second copy there,
 * so all repeats are made on the way out.
 *
 * The inner broker is told `from() === undefined`: it must start from the position it has itself stored when
 * deliveries were settled. Acknowledgements reach it late or never, always in its own order, so that its position can be too
 * old but never too new. The lease of the inner broker is taken off: it lives in the broker's database, not in the one
 * where effects commit.
 *
 * @throws OnefoldError `OPTION_INVALID` for a chance outside 0 to 1.
 * @example
 * const broker = unreliableBroker(inDatabaseBroker(sqlite('broker.db')), { seed: 7, duplicate: 0.3, reorder: 0.3, redeliver: 0.1 })
 * const app = onefold({ database: sqlite('app.db'), broker })
 */
export function unreliableBroker(inner: Broker, options: UnreliableOptions): UnreliableBroker {
  const chances = chancesOf(options)
  const counts = { delivered: 0, duplicated: 0, redelivered: 0, overtaken: 0, forgotten: 0 }
  let assignments = 0
  return {
    card: {
      ...inner.card,
      name: `unreliable ${inner.card.name}`,
      claims: {
        ...inner.card.claims,
        redelivery: 'also what was settled',
        'may hold duplicates': true,
        'gives offsets': false,
      },
    },
    open: (runtime) => inner.open(runtime),
    close: () => inner.close(),
    publish: (topic, envelopes, publishOptions) => inner.publish(topic, envelopes, publishOptions),
    async *subscribe(topic, group, subscribeOptions) {
      for await (const assignment of inner.subscribe(topic, group, { ...subscribeOptions, from: startWhereTheBrokerStands })) {
        const random = options.random ?? seededRandom(options.seed, topic.name, group, assignment.partition, assignments++)
        yield new UnreliableAssignment(assignment, topic, chances, random, counts)
      }
    },
    counts: () => ({ ...counts }),
  }
}

function startWhereTheBrokerStands(): Promise<undefined> {
  return Promise.resolve(undefined)
}

type Chances = Readonly<Record<'duplicate' | 'reorder' | 'redeliver' | 'forget', number>>

function chancesOf(options: UnreliableOptions): Chances {
  const chance = (name: keyof Chances, fallback: number): number => {
    const value = options[name] ?? fallback
    if (!(value >= 0 && value <= 1)) throw optionInvalid(name, value, 'a chance from 0 to 1')
    return value
  }
  return {
    duplicate: chance('duplicate', 0),
    reorder: chance('reorder', 0),
    redeliver: chance('redeliver', 0),
    forget: chance('forget', options.redeliver ?? 0),
  }
}

/** waiting: still to be handed over for the first time, or again because it was asked for · out: handed over · done: settled. */
interface Entry {
  readonly position: number
  readonly inner: Delivery
  /** What must stay in order among first deliveries. */
  readonly lane: string
  state: 'waiting' | 'out' | 'done'
  copies: number
}

class UnreliableAssignment implements Assignment {
  readonly subscription: Subscription
  readonly partition: string
  readonly revoked: AbortSignal
  readonly lost: AbortSignal
  readonly #inner: Assignment
  readonly #oneLane: boolean
  readonly #chances: Chances
  readonly #random: () => number
  readonly #counts: { -readonly [name in keyof UnreliableCounts]: number }
  readonly #entryOf = new WeakMap<Delivery, Entry>()
  /** In the inner broker's order, from the first one not yet acknowledged to it. */
  #unacknowledged: Entry[] = []
  #waiting: Entry[] = []
  #late: { readonly entry: Entry; batches: number }[] = []
  /** Batches in a row for which a lane was held back. */
  readonly #held = new Map<string, number>()
  #position = 0
  #forgetting = 0

  constructor(inner: Assignment, topic: AnyTopic, chances: Chances, random: () => number, counts: UnreliableCounts) {
    this.subscription = inner.subscription
    this.partition = inner.partition
    this.revoked = inner.revoked
    this.lost = inner.lost
    this.#inner = inner
    this.#oneLane = topic.settings.order === 'total'
    this.#chances = chances
    this.#random = random
    this.#counts = counts
  }

  async next(limit: number, signal: AbortSignal): Promise<readonly Delivery[] | undefined> {
    if (!(await this.#fetch(limit, signal))) return undefined
    const roomForCopies = Math.floor(limit * Math.min(0.5, this.#chances.duplicate + this.#chances.redeliver))
    const batch = this.#firstDeliveries(limit - roomForCopies)
    this.#addCopies(batch, limit)
    return batch.map((entry) => {
      const delivery: Delivery = { envelope: entry.inner.envelope, redelivered: 'unknown' }
      this.#entryOf.set(delivery, entry)
      return delivery
    })
  }

  async settle(settled: readonly { readonly delivery: Delivery; readonly as: 'done' | 'again' }[]): Promise<void> {
    if (this.#forgetting === 0 && this.#chance('forget'))
      this.#forgetting = 1 + Math.floor(this.#random() * limits.forgottenInARow)
    for (const { delivery, as } of settled) {
      const entry = this.#entryOf.get(delivery)
      if (entry === undefined) throw new Error('settled a delivery that this assignment did not hand over')
      if (as === 'done') this.#done(entry)
      else this.#again(entry)
    }
    if (this.#forgetting > 0 && this.#unacknowledged.length < limits.unacknowledged) return
    const first = this.#unacknowledged.findIndex((entry) => entry.state !== 'done')
    const acknowledged = this.#unacknowledged.splice(0, first < 0 ? this.#unacknowledged.length : first)
    if (acknowledged.length > 0) await this.#inner.settle(acknowledged.map((entry) => ({ delivery: entry.inner, as: 'done' })))
  }

  async drained(): Promise<boolean> {
    return this.#waiting.length === 0 && this.#late.length === 0 && (await this.#inner.drained())
  }

  released(): Promise<void> {
    return this.#inner.released()
  }

  /** Waits for the inner broker only when there is nothing to hand over. False: the assignment has ended. */
  async #fetch(limit: number, signal: AbortSignal): Promise<boolean> {
    const holding = this.#waiting.length > 0 || this.#late.length > 0
    if (holding && (this.#waiting.length >= limits.waiting || (await this.#inner.drained())))
      return !this.revoked.aborted && !signal.aborted
    const deliveries = await this.#inner.next(limit, signal)
    if (deliveries === undefined) return false
    for (const inner of deliveries) {
      const position = this.#position++
      const lane = this.#oneLane ? '' : inner.envelope.key === undefined ? `#${position}` : `=${inner.envelope.key}`
      const entry: Entry = { position, inner, lane, state: 'waiting', copies: 0 }
      this.#waiting.push(entry)
      this.#unacknowledged.push(entry)
    }
    return true
  }

  #firstDeliveries(limit: number): Entry[] {
    const lanes = new Map<string, Entry[]>()
    for (const entry of this.#waiting) {
      const lane = lanes.get(entry.lane)
      if (lane === undefined) lanes.set(entry.lane, [entry])
      else lane.push(entry)
    }
    const queues = [...lanes].filter(([name]) => !this.#holdBack(name)).map(([, entries]) => ({ entries, taken: 0 }))
    if (queues.length === 0 && this.#late.length === 0)
      queues.push(...[...lanes.values()].map((entries) => ({ entries, taken: 0 })))
    const batch: Entry[] = []
    while (queues.length > 0 && batch.length < limit) {
      const chosen = this.#chance('reorder') ? Math.floor(this.#random() * queues.length) : 0
      const queue = queues[chosen]
      const entry = queue?.entries[queue.taken]
      if (queue === undefined || entry === undefined) break
      if (++queue.taken === queue.entries.length) queues.splice(chosen, 1)
      entry.state = 'out'
      batch.push(entry)
    }
    this.#waiting = this.#waiting.filter((entry) => entry.state === 'waiting')
    let newest = -1
    for (const entry of batch) {
      if (entry.position < newest) this.#counts.overtaken++
      newest = Math.max(newest, entry.position)
    }
    this.#counts.delivered += batch.length
    return batch
  }

  #holdBack(lane: string): boolean {
    const times = this.#held.get(lane) ?? 0
    if (!this.#oneLane && times < limits.heldBatches && this.#random() < this.#chances.reorder / 4) {
      this.#held.set(lane, times + 1)
      return true
    }
    this.#held.delete(lane)
    return false
  }

  /** Copies of this batch's messages and of earlier ones, as far as `limit` leaves room. */
  #addCopies(batch: Entry[], limit: number): void {
    const now: { readonly entry: Entry; readonly notBefore: number }[] = []
    for (const [index, entry] of batch.entries()) {
      if (!this.#chance('duplicate') || entry.copies >= limits.copies) continue
      if (this.#random() < 0.5) now.push({ entry, notBefore: index + 1 })
      else this.#later(entry)
    }
    const idle = batch.length === 0
    for (const late of this.#late) late.batches--
    for (const late of this.#late.filter((each) => each.batches < 0 || idle)) now.push({ entry: late.entry, notBefore: 0 })
    const room = now.splice(0, Math.max(0, limit - batch.length))
    // From the back, so that the places of the others stay true.
    for (const { entry, notBefore } of room.sort((a, b) => b.notBefore - a.notBefore)) {
      const places = batch.length - notBefore + 1
      const place = notBefore + Math.floor(this.#random() * (notBefore === 0 ? places : Math.min(8, places)))
      batch.splice(place, 0, entry)
      if (entry.state === 'done') this.#counts.redelivered++
      else this.#counts.duplicated++
      entry.copies++
    }
    const added = new Set(room.map(({ entry }) => entry))
    this.#late = this.#late.filter((late) => !added.has(late.entry))
  }

  #later(entry: Entry): void {
    if (this.#late.length >= limits.late || entry.copies >= limits.copies) return
    this.#late.push({ entry, batches: 1 + Math.floor(this.#random() * limits.lateBatches) })
  }

  #done(entry: Entry): void {
    if (entry.state !== 'done') {
      entry.state = 'done'
      if (this.#forgetting > 0) {
        this.#forgetting--
        this.#counts.forgotten++
      }
    }
    if (this.#chance('redeliver')) this.#later(entry)
  }

  /**
   * Asked for again: it goes back to its place, before the later ones of its lane. Copies of the lane that are still
   * here are dropped, since the first of them to arrive would now be a first delivery, out of order.
   */
  #again(entry: Entry): void {
    if (entry.state === 'done') {
      this.#late.push({ entry, batches: 0 })
      return
    }
    if (entry.state === 'waiting') return
    entry.state = 'waiting'
    const later = this.#waiting.findIndex((other) => other.position > entry.position)
    this.#waiting.splice(later < 0 ? this.#waiting.length : later, 0, entry)
    this.#late = this.#late.filter((late) => late.entry.lane !== entry.lane || late.entry.state === 'done')
  }

  #chance(name: keyof Chances): boolean {
    return this.#chances[name] > 0 && this.#random() < this.#chances[name]
  }
}
