import type { Broker } from '../broker/broker.ts'
import type { PublishInside, PublishInsideOptions } from '../consume/consume-options.ts'
import type { Database, Session } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable, Envelope, Receipt } from '../message.ts'
import { isThenable } from '../message.ts'
import type { Runtime } from '../runtime.ts'
import type { AnyTopic, Topic } from '../topic.ts'
import { idReused } from '../topic.ts'
import type { Outgoing } from './outgoing.ts'
import { PublishIncompleteError } from './publish-incomplete.ts'
import type { PublishManyItem, PublishOptions } from './publish-options.ts'
import type { PublishQueueLimits } from './publish-queue.ts'
import { PublishQueue } from './publish-queue.ts'
import { toEnvelope } from './to-envelope.ts'

/** `publishMany` hands over this many at a time. */
const publishChunk = 1_000

export interface PublisherOptions<Tx> {
  readonly database: Database<Tx>
  readonly broker: Broker
  /** The broker is the database itself: its log is the outbox. */
  readonly brokerIsDatabase: boolean
  readonly runtime: Runtime
  readonly source: string | undefined
  readonly limits: PublishQueueLimits
  /** Resolves once the database and the broker can be used; rejects when the app has been stopped. */
  readonly open: () => Promise<void>
  /** The same, also after the app has been stopped: what was published before still goes out. */
  readonly opened: () => Promise<void>
  /** Told of every topic something is sent to. */
  readonly met: (topic: AnyTopic) => void
}

/** Everything that is published passes here: by itself, in a transaction of the caller's, or by a handler with its effect. */
export class Publisher<Tx> {
  readonly #options: PublisherOptions<Tx>
  readonly #queue: PublishQueue
  #stopped = false

  constructor(options: PublisherOptions<Tx>) {
    this.#options = options
    this.#queue = new PublishQueue(options.broker, options.opened, options.limits)
  }

  /** Messages that wait to be published. */
  get waiting(): number {
    return this.#queue.size
  }

  /** Takes nothing new; resolves when what was taken has been answered. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#queue.empty()
  }

  async publish<I, D>(
    topic: Topic<I, D>,
    data: NoInfer<I>,
    options: PublishOptions & { readonly tx?: unknown } = {},
  ): Promise<Receipt> {
    if (options.tx !== undefined) return this.#stage(topic, data, options, options.tx)
    this.refuseInside()
    if (this.#stopped) throw stopped()
    if (options.signal?.aborted === true) throw stoppedBefore(options.signal)
    // Its place in the queue is taken in this very turn: messages go out in the order of the calls, whatever the first
    // one waits for (the file to open, an asynchronous schema).
    const prepared = this.prepare(topic, data, options)
    const receipt = this.#queue.add(topic, prepared)
    return options.signal === undefined ? receipt : this.#awaitWithSignal(receipt, prepared, options.signal)
  }

  async publishMany<I, D>(
    topic: Topic<I, D>,
    items: readonly PublishManyItem<I>[],
    options: { readonly tx?: unknown; readonly signal?: AbortSignal } = {},
  ): Promise<Receipt[]> {
    if (options.tx === undefined) this.refuseInside()
    const { tx, signal } = options
    const results: (Receipt | OnefoldError)[] = []
    for (let from = 0; from < items.length; from += publishChunk) {
      const chunk = items.slice(from, from + publishChunk)
      if (tx !== undefined || signal !== undefined) {
        const settled = await Promise.allSettled(
          chunk.map(({ data, ...rest }) => this.publish(topic, data as NoInfer<I>, { ...rest, ...options })),
        )
        for (const result of settled) results.push(result.status === 'fulfilled' ? result.value : asOnefoldError(result.reason))
        continue
      }
      if (this.#stopped) throw stopped()
      // One promise for the chunk: a promise for each would cost more than its row.
      const prepared = chunk.map((item): Awaitable<Envelope> | Error => {
        try {
          return this.prepare(topic, item.data, item)
        } catch (error) {
          return asOnefoldError(error)
        }
      })
      for (const result of await this.#queue.addMany(topic, prepared))
        results.push(result instanceof Error ? asOnefoldError(result) : result)
    }
    if (results.some((result) => result instanceof Error)) throw new PublishIncompleteError(results)
    return results as Receipt[]
  }

  async transaction<R>(work: (context: { tx: Tx; publish: PublishInside }) => Awaitable<R>): Promise<R> {
    this.refuseInside()
    await this.#options.open()
    return this.#options.database.write(
      async (session) => {
        const handle = session.openTx()
        const outgoing: { topic: AnyTopic; envelope: Awaitable<Envelope> }[] = []
        let open = true
        const publish: PublishInside = (topic, data, options = {}) => {
          if (!open)
            throw new OnefoldError(
              'TX_CLOSED',
              `publish was used after its transaction had ended; message to ${topic.name} was not taken.`,
            )
          const envelope = this.prepare(topic, data, options)
          if (isThenable(envelope)) Promise.resolve(envelope).catch(() => undefined)
          outgoing.push({ topic, envelope })
        }
        try {
          const result = await work({ tx: handle.tx, publish })
          await handle.finish?.()
          open = false
          const ready: Outgoing[] = []
          for (const { topic, envelope } of outgoing) ready.push({ topic, envelope: await envelope, cause: undefined })
          const refused = await this.emit(session, ready)
          if (refused !== undefined) throw refused
          return result
        } finally {
          open = false
          handle.close()
        }
      },
      { alone: true, handsOutTx: true, what: 'transaction' },
    )
  }

  /** Checked, and with its identity. */
  prepare(topic: AnyTopic, data: unknown, options: PublishInsideOptions): Awaitable<Envelope> {
    return toEnvelope(topic, data, options, { source: this.#options.source ?? topic.name, runtime: this.#options.runtime })
  }

  /**
   * Sends with the transaction: on the database's own broker the log is the outbox. Answers the first that was refused
   * because its identity was used before for other data.
   */
  async emit(session: Session<unknown>, outgoing: readonly Outgoing[]): Promise<OnefoldError | undefined> {
    let refused: OnefoldError | undefined
    for (const [topic, ofTopic] of Map.groupBy(outgoing, (one) => one.topic)) {
      this.#options.met(topic)
      const envelopes = ofTopic.map((one) => one.envelope)
      if (!this.#options.brokerIsDatabase) {
        await session.outbox.append(topic, ofTopic)
        continue
      }
      const statuses = await session.log.append(await session.topics.declare(topic), envelopes)
      for (let index = 0; index < statuses.length; index++) {
        const status = statuses[index]
        const envelope = envelopes[index] as Envelope
        if (status instanceof OnefoldError) refused ??= status
        else if (status === 'id-reused') refused ??= idReused(topic, envelope.id, envelope.source)
      }
    }
    return refused
  }

  /** In the caller's own transaction: durable, or not, together with the caller's rows. */
  async #stage(topic: AnyTopic, data: unknown, options: PublishInsideOptions, tx: unknown): Promise<Receipt> {
    const prepared = this.prepare(topic, data, options)
    const envelope = isThenable(prepared) ? await prepared : prepared
    await this.#options.open()
    const refused = await this.#options.database.join(tx, (session) =>
      this.emit(session, [{ topic, envelope, cause: undefined }]),
    )
    if (refused !== undefined) throw refused
    return { status: 'staged', id: envelope.id, source: envelope.source }
  }

  async #awaitWithSignal(receipt: Promise<Receipt>, prepared: Awaitable<Envelope>, signal: AbortSignal): Promise<Receipt> {
    const { promise, reject } = Promise.withResolvers<never>()
    let envelope = isThenable(prepared) ? undefined : prepared
    if (isThenable(prepared)) {
      const keep = (ready: Envelope): void => {
        envelope = ready
      }
      prepared.then(keep, () => undefined)
    }
    const abort = (): void => {
      reject(
        new OnefoldError(
          'ABORTED',
          'stopped waiting for the receipt; the message may still be accepted. Repeat it with the same id.',
          {
            outcome: 'unknown',
            retry: 'now',
            cause: signal.reason,
            details: { id: envelope?.id, source: envelope?.source },
          },
        ),
      )
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([receipt, promise])
    } finally {
      signal.removeEventListener('abort', abort)
      receipt.catch(() => undefined)
    }
  }

  /** @throws OnefoldError `PUBLISH_INSIDE_APPLY` where the caller would wait for the transaction it runs in. */
  refuseInside(): void {
    if (!this.#options.database.insideTransaction()) return
    throw new OnefoldError(
      'PUBLISH_INSIDE_APPLY',
      "app.publish() and app.transaction() would wait for the very transaction they are called in. Use the context's publish (it commits with the message), or pass { tx }.",
    )
  }
}

function stoppedBefore(signal: AbortSignal): OnefoldError {
  return new OnefoldError('ABORTED', 'stopped before the message was handed over; it was not published.', {
    retry: 'now',
    cause: signal.reason,
  })
}

export function stopped(): OnefoldError {
  return new OnefoldError('APP_STOPPED', 'the app was stopped; make a new one.')
}

function asOnefoldError(error: unknown): OnefoldError {
  if (error instanceof OnefoldError) return error
  return new OnefoldError('MESSAGE_INVALID', (error as Error)?.message ?? String(error), { cause: error })
}
