import type { Assignment } from '../../src/broker/broker.ts'
import type { BrokerClaims } from '../../src/guarantee/card.ts'
import type { Broker, Delivery, Envelope } from '../../src/index.ts'
import { OnefoldError } from '../../src/errors.ts'
import type { OutboxNumber } from '../../src/outbox-number.ts'
import { outboxNumberOf } from '../../src/outbox-number.ts'
import { brokerCard } from './cards.ts'

/** A queue in memory that a test looks into: what it was handed, what it refused, and what it hands over again. */
export class QueueBroker implements Broker {
  readonly card: Broker['card']
  /** Ids, call by call. */
  readonly calls: string[][] = []
  /** What it has taken, in order. */
  readonly taken: Envelope[] = []
  /** Why it does not take a message; undefined: it does. */
  refuses: (envelope: Envelope) => OnefoldError | undefined = () => undefined
  readonly #topics = new Map<string, Envelope[]>()
  readonly #cursors = new Map<string, number>()
  #wake: (() => void)[] = []

  constructor(claims: Partial<BrokerClaims> = {}) {
    this.card = brokerCard('queue', claims)
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  async publish(topic: { readonly name: string }, envelopes: readonly Envelope[]) {
    this.calls.push(envelopes.map(({ id }) => id))
    const refused = new Set<string>()
    return envelopes.map((envelope) => {
      const { id, source, key = '' } = envelope
      const behind = this.card.claims['keeps order when it refuses'] && refused.has(key)
      const error = behind ? notNow(id) : this.refuses(envelope)
      if (error !== undefined) {
        if (error.retry !== 'never') refused.add(key)
        return error
      }
      this.hand(topic.name, envelope)
      return { status: 'accepted' as const, id, source }
    })
  }

  /** It comes to all groups, once more where it has come before. */
  hand(topic: string, envelope: Envelope): void {
    this.taken.push(envelope)
    this.#topics.set(topic, [...(this.#topics.get(topic) ?? []), envelope])
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** How the messages it has taken were numbered. */
  numbers(): (readonly [id: string, number: OutboxNumber | undefined])[] {
    return this.taken.map((envelope) => [envelope.id, outboxNumberOf(envelope)])
  }

  async *subscribe(subscribed: { readonly name: string }, group: string, { signal }: { readonly signal: AbortSignal }) {
    const name = `${subscribed.name}/${group}`
    const waiting = (): readonly Envelope[] => (this.#topics.get(subscribed.name) ?? []).slice(this.#cursors.get(name) ?? 0)
    const ended = (of: AbortSignal): Promise<void> =>
      new Promise((resolve) => (of.aborted ? resolve() : of.addEventListener('abort', () => resolve(), { once: true })))
    yield {
      subscription: { topic: subscribed.name, group },
      partition: '0',
      revoked: new AbortController().signal,
      lost: new AbortController().signal,
      next: async (limit, end) => {
        while (waiting().length === 0 && !end.aborted)
          await Promise.race([ended(end), new Promise<void>((resolve) => this.#wake.push(resolve))])
        if (end.aborted) return undefined
        const batch = waiting().slice(0, limit)
        this.#cursors.set(name, (this.#cursors.get(name) ?? 0) + batch.length)
        return batch.map((envelope): Delivery => ({ envelope, redelivered: 'unknown' }))
      },
      settle: async () => {},
      drained: async () => waiting().length === 0,
      released: async () => {},
    } satisfies Assignment
    await ended(signal)
  }
}

/** Refused for now. */
export const notNow = (id: string): OnefoldError =>
  new OnefoldError('DATABASE_BUSY', `${id} is not taken now.`, { retry: 'later', details: { id } })

/** Refused for good. */
export const never = (id: string): OnefoldError =>
  new OnefoldError('ID_REUSED', `${id} was published before with other data.`, { details: { id } })
