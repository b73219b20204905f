import type { Broker } from '../broker/broker.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable, Envelope, Receipt } from '../message.ts'
import { isThenable } from '../message.ts'
import type { AnyTopic } from '../topic.ts'

/** Messages handed to the broker in one call. */
const maxBatch = 1_000

interface Waiting {
  readonly envelope: Awaitable<Envelope>
  readonly bytes: number
  readonly settle: (result: Receipt | Error) => void
}

interface TopicQueue {
  readonly topic: AnyTopic
  waiting: Waiting[]
  sending: boolean
}

export interface PublishQueueLimits {
  readonly maxMessages: number
  readonly maxBytes: number
}

/**
 * Collects what is published at the same time, so that it shares commits: while one batch is on its way, the next one
 * forms. Bounded: what does not fit is refused at once, with nothing written.
 */
export class PublishQueue {
  readonly #broker: Broker
  readonly #ready: () => Promise<void>
  readonly #limits: PublishQueueLimits
  readonly #topics = new Map<AnyTopic, TopicQueue>()
  #messages = 0
  #bytes = 0
  #whenEmpty: (() => void)[] = []

  /** `ready` resolves once the broker can be used. */
  constructor(broker: Broker, ready: () => Promise<void>, limits: PublishQueueLimits) {
    this.#broker = broker
    this.#ready = ready
    this.#limits = limits
  }

  get size(): number {
    return this.#messages
  }

  /** Settles with the receipt, or with the error of this message alone. Messages of a topic keep the order of the calls. */
  add(topic: AnyTopic, envelope: Awaitable<Envelope>): Promise<Receipt> {
    return new Promise<Receipt>((resolve, reject) => {
      this.#enqueue(topic, envelope, (result) => {
        if (result instanceof Error) reject(result)
        else resolve(result)
      })
    })
  }

  #enqueue(topic: AnyTopic, envelope: Awaitable<Envelope>, settle: (result: Receipt | Error) => void): void {
    const later = isThenable(envelope)
    const bytes = later ? 0 : envelope.json.length
    if (later) Promise.resolve(envelope).catch(() => undefined)
    if (this.#messages >= this.#limits.maxMessages || this.#bytes + bytes > this.#limits.maxBytes) {
      const id = later ? undefined : envelope.id
      settle(
        new OnefoldError(
          'QUEUE_FULL',
          `${this.#messages} messages (${this.#bytes} bytes) are waiting to be published already; ${id ?? 'this one'} was not taken. Wait for earlier receipts, then repeat.`,
          { retry: 'later', details: { topic: topic.name, id, waiting: this.#messages } },
        ),
      )
      return
    }
    this.#messages++
    this.#bytes += bytes
    let queue = this.#topics.get(topic)
    if (queue === undefined) {
      queue = { topic, waiting: [], sending: false }
      this.#topics.set(topic, queue)
    }
    queue.waiting.push({ envelope, bytes, settle })
    if (queue.sending) return
    queue.sending = true
    const started = queue
    // After this turn: everything published in it is in the first batch already.
    queueMicrotask(() => void this.#send(started))
  }

  #settle({ bytes, settle }: Waiting, result: Receipt | Error): void {
    this.#messages--
    this.#bytes -= bytes
    settle(result)
  }

  /** Many at once: an answer for each, in order. Never rejects. */
  addMany(topic: AnyTopic, envelopes: readonly (Awaitable<Envelope> | Error)[]): Promise<(Receipt | Error)[]> {
    const results: (Receipt | Error)[] = new Array(envelopes.length)
    let open = envelopes.length
    if (open === 0) return Promise.resolve(results)
    return new Promise((resolve) => {
      for (let index = 0; index < envelopes.length; index++) {
        const settle = (result: Receipt | Error): void => {
          results[index] = result
          if (--open === 0) resolve(results)
        }
        const envelope = envelopes[index] as Awaitable<Envelope> | Error
        if (envelope instanceof Error) settle(envelope)
        else this.#enqueue(topic, envelope, settle)
      }
    })
  }

  async empty(): Promise<void> {
    if (this.#messages > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve))
  }

  async #send(queue: TopicQueue): Promise<void> {
    while (queue.waiting.length > 0) {
      const batch = queue.waiting.length <= maxBatch ? queue.waiting : queue.waiting.slice(0, maxBatch)
      queue.waiting = queue.waiting.length <= maxBatch ? [] : queue.waiting.slice(maxBatch)
      const envelopes: Envelope[] = []
      const valid: Waiting[] = []
      for (const entry of batch) {
        try {
          envelopes.push(isThenable(entry.envelope) ? await entry.envelope : entry.envelope)
          valid.push(entry)
        } catch (error) {
          this.#settle(entry, error instanceof Error ? error : new Error(String(error)))
        }
      }
      const results = envelopes.length === 0 ? [] : await this.#publish(queue.topic, envelopes)
      for (let index = 0; index < valid.length; index++)
        this.#settle(valid[index] as Waiting, results[index] as Receipt | OnefoldError)
    }
    queue.sending = false
    this.#topics.delete(queue.topic)
    if (this.#messages > 0) return
    const waiting = this.#whenEmpty
    this.#whenEmpty = []
    for (const resolve of waiting) resolve()
  }

  async #publish(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly (Receipt | OnefoldError)[]> {
    try {
      await this.#ready()
      return await this.#broker.publish(topic, envelopes, {})
    } catch (error) {
      return envelopes.map((envelope) => withIdentity(error, topic, envelope))
    }
  }
}

/** The same failure told of one message, with the identity to repeat it under. */
function withIdentity(error: unknown, topic: AnyTopic, envelope: Envelope): OnefoldError {
  const details = { topic: topic.name, id: envelope.id, source: envelope.source }
  if (error instanceof OnefoldError) {
    return new OnefoldError(error.code, error.message, {
      outcome: error.outcome,
      retry: error.retry,
      cause: error.cause ?? error,
      details: { ...error.details, ...details },
    })
  }
  return new OnefoldError(
    'COMMIT_UNKNOWN',
    `message ${envelope.id} of topic ${topic.name} may or may not have been published: ${(error as Error)?.message ?? String(error)}. Repeat it with the same id.`,
    {
      outcome: 'unknown',
      retry: 'later',
      cause: error,
      details,
    },
  )
}
