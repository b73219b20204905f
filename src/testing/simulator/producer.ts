import type { App } from '../../app.ts'
import { isOnefoldError } from '../../errors.ts'
import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import { PublishIncompleteError } from '../../publish/publish-incomplete.ts'
import type { Operation, PublishOperation } from '../history.ts'
import type { EffectLog } from './processes.ts'
import type { WorkItem } from './subject.ts'
import type { Incarnation, World } from './world.ts'
import { fine } from './world.ts'

/** How the workload is published. In a transaction a row of the producer's own commits with each message, or neither does. */
export const publishingWays = ['one by one', 'many at once', 'in transactions of its own'] as const
export type PublishingWay = (typeof publishingWays)[number]

/** Before it publishes again what it has had no answer to. */
const againMs = 3
const laterMs = 1_500

type Told = Omit<PublishOperation, 'outcome'>

interface Asked {
  readonly index: number
  readonly item: WorkItem
  readonly told: Told
}

/** Publishes the workload as a client that means it: the same message under the same id, until it has an answer. It outlives its processes. */
export class Producer {
  readonly #world: World
  readonly #workload: readonly WorkItem[]
  readonly #history: Operation[]
  readonly #effects: EffectLog
  readonly #way: PublishingWay
  /** Writes a row of the producer's own. */
  readonly #note: (tx: unknown, fact: string) => Awaitable<void>
  readonly #keepsWaiting: (topic: string, id: string) => Awaitable<boolean>
  readonly #forget: (topic: string) => boolean
  readonly #answered = new Set<number>()
  #late = false

  constructor(options: {
    readonly world: World
    readonly workload: readonly WorkItem[]
    readonly history: Operation[]
    readonly effects: EffectLog
    readonly way: PublishingWay
    readonly note: (tx: unknown, fact: string) => Awaitable<void>
    /** Some group keeps this message for a person. */
    readonly keepsWaiting: (topic: string, id: string) => Awaitable<boolean>
    /** The topic's window forgets all it knows; false: not just now. */
    readonly forget: (topic: string) => boolean
  }) {
    this.#world = options.world
    this.#workload = options.workload
    this.#history = options.history
    this.#effects = options.effects
    this.#way = options.way
    this.#note = options.note
    this.#keepsWaiting = options.keepsWaiting
    this.#forget = options.forget
  }

  get done(): boolean {
    return this.#answered.size === this.#workload.length
  }

  async run(self: Incarnation, app: App<unknown>): Promise<void> {
    for (let next = this.#next(); next.length > 0; next = this.#next()) {
      await this.#perhapsLater(self, next)
      this.#effects.asking = { by: self, publishes: next.map(({ told }) => told) }
      const again = await this.#publish(self, app, next)
      if (again) await new Promise<void>((resolve) => void this.#world.timer(self, againMs, resolve))
    }
    this.#world.tell(self, 'has published everything')
  }

  /**
   * The last message, when it is a repeat, may come when the topic's window has forgotten the first: as long as a group keeps that,
   * it is known all the same. What nobody keeps would rightly be taken for another message, so of that nothing is forgotten.
   */
  async #perhapsLater(self: Incarnation, [first]: readonly Asked[]): Promise<void> {
    if (first === undefined || this.#late || first.index !== this.#workload.length - 1) return
    const { topic, identity } = first.told
    const repeats = this.#workload.slice(0, -1).some((item, index) => {
      const told = this.#told(index, item)
      return told.topic === topic && told.identity === identity && told.body === first.told.body
    })
    if (!repeats) return
    this.#late = true
    const at = `producer: publish again to ${topic} for ${identity}`
    if (this.#world.decisions.choose(at, [fine, 'later, when its window has forgotten it']) === fine) return
    await new Promise<void>((resolve) => void this.#world.timer(self, laterMs, resolve))
    const keeps = this.#keepsWaiting(topic, identity)
    if ((isThenable(keeps) ? await keeps : keeps) && this.#forget(topic))
      this.#world.tell('the world', `the window of ${topic} has forgotten everything`)
  }

  /** What is published in one call: one message, or as many of one topic as follow each other. */
  #next(): Asked[] {
    const open = [...this.#workload.entries()].filter(([index]) => !this.#answered.has(index))
    const [first] = open
    if (first === undefined) return []
    const other = open.findIndex(([, { topic }]) => topic !== first[1].topic)
    const many = this.#way === 'many at once' ? open.slice(0, other < 0 ? open.length : other) : [first]
    return many.map(([index, item]) => ({ index, item, told: this.#told(index, item) }))
  }

  #told(index: number, { topic, data, id, key }: WorkItem): Told {
    const stated = key ?? topic.key?.(data)
    return {
      op: 'publish',
      topic: topic.name,
      identity: id ?? topic.id?.(data) ?? '?',
      ...(stated === undefined ? {} : { key: stated }),
      producer: 'producer',
      body: JSON.stringify(data),
      ...(this.#way === 'in transactions of its own' ? { fact: factOf(index) } : {}),
    }
  }

  /** Whether some of it is to be published again. */
  async #publish(self: Incarnation, app: App<unknown>, asked: readonly Asked[]): Promise<boolean> {
    const [one] = asked as readonly [Asked]
    const { topic } = one.item
    try {
      if (this.#way === 'many at once') {
        const receipts = await app.publishMany(
          topic,
          asked.map(({ item }) => ({ data: item.data as never, ...given(item) })),
        )
        if (receipts.some((receipt) => receipt instanceof Error))
          this.#world.trouble ??= new Error(
            'publishMany says that all was published, and answers with an error among the receipts.',
          )
        receipts.forEach((receipt, index) => void this.#taken(self, asked[index] as Asked, receipt.status))
      } else if (this.#way === 'in transactions of its own') {
        await app.transaction(async ({ tx, publish }) => {
          const noted = this.#note(tx, factOf(one.index))
          if (isThenable(noted)) await noted
          if (one.index % 2 === 0) await app.publish(topic, one.item.data as never, { ...given(one.item), tx })
          else publish(topic, one.item.data as never, given(one.item))
        })
        this.#taken(self, one, 'with a row of the producer')
      } else {
        const receipt = await app.publish(topic, one.item.data as never, given(one.item))
        this.#taken(self, { ...one, told: { ...one.told, identity: receipt.id } }, receipt.status)
      }
      return false
    } catch (error) {
      if (error instanceof PublishIncompleteError && !error.results.some((result) => result instanceof Error))
        throw new Error('publishMany says that some of it was not published, and names none.')
      const each = error instanceof PublishIncompleteError ? error.results : asked.map(() => error)
      const again = asked.map((of, index) => {
        const result = each[index]
        if (result instanceof Error) return this.#failed(self, of, result)
        this.#taken(self, of, (result as { status: string }).status)
        return false
      })
      return again.includes(true)
    }
  }

  #taken(self: Incarnation, { index, item, told }: Asked, status: string): void {
    this.#answered.add(index)
    this.#world.tell(self, `publishes ${told.identity} to ${item.topic.name}: ${status}`)
    const receipt = status === 'accepted' || status === 'duplicate' ? ({ receipt: status } as const) : {}
    this.#history.push({ ...told, outcome: 'happened', ...receipt })
  }

  #failed(self: Incarnation, { index, told }: Asked, error: Error): boolean {
    const known = isOnefoldError(error) && error.outcome === 'not-applied'
    this.#history.push({ ...told, outcome: known ? 'did-not-happen' : 'unknown' })
    if (!isOnefoldError(error) || error.retry !== 'never') return true
    this.#world.tell(self, `is refused: ${error.message}`)
    this.#answered.add(index)
    return false
  }
}

const factOf = (index: number): string => `row ${index + 1} of the producer`

const given = ({ topic, id, key }: WorkItem): { id?: string; key?: string } => ({
  ...(topic.id === undefined && id !== undefined ? { id } : {}),
  ...(key === undefined ? {} : { key }),
})
