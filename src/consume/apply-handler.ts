import { AnySignal } from '../any-signal.ts'
import type { Session } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable, Envelope, Message } from '../message.ts'
import { isThenable } from '../message.ts'
import type { Outgoing } from '../publish/outgoing.ts'
import type { AnyTopic } from '../topic.ts'
import type { ApplyContext, BatchItem, ConsumeApply, ConsumeApplyBatch, PublishInside } from './consume-options.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import type { Item } from './item.ts'
import { messageOf } from './item.ts'

interface Prepared {
  readonly topic: AnyTopic
  readonly envelope: Awaitable<Envelope>
  readonly cause: string
}

/**
 * Runs the user's handler inside a savepoint of an open transaction and writes what it published.
 * Stays synchronous when the handler is: a promise per message would cost more than the bookkeeping.
 */
export class ApplyHandler {
  readonly #context: ConsumerContext
  readonly #options: ConsumeApply<unknown, unknown> | ConsumeApplyBatch<unknown, unknown>

  constructor(context: ConsumerContext, options: ConsumeApply<unknown, unknown> | ConsumeApplyBatch<unknown, unknown>) {
    this.#context = context
    this.#options = options
  }

  get takesBatches(): boolean {
    return this.#options.applyBatch !== undefined
  }

  /**
   * Without `collect`, what the handler published is written at once, and refused messages fail the attempt. With it, it is
   * added there for the caller to write before COMMIT, together with that of other messages.
   *
   * @throws what the handler threw; nothing it did remains.
   */
  run(
    session: Session<unknown>,
    state: PartitionState,
    items: readonly Item[],
    attempt: number,
    collect?: Outgoing[],
    calls: CallValues = noCalls,
  ): Awaitable<void> {
    return session.savepoint(() =>
      after(this.#context.runtime.reached?.('consume:applying'), () =>
        after(this.#invoke(session, state, items, attempt, collect, calls), () =>
          this.#context.runtime.reached?.('consume:applied'),
        ),
      ),
    )
  }

  #invoke(
    session: Session<unknown>,
    state: PartitionState,
    items: readonly Item[],
    attempt: number,
    collect: Outgoing[] | undefined,
    calls: CallValues,
  ): Awaitable<void> {
    const { watchdog } = this.#context
    const handle = session.openTx()
    const outgoing: Prepared[] = []
    const scope = new Scope(state.handlers)
    const publishFor =
      (item: Item): PublishInside =>
      (topic, data, options = {}) => {
        if (!scope.open)
          throw new OnefoldError(
            'TX_CLOSED',
            `publish was used after its handler had ended; message to ${topic.name} was not taken.`,
          )
        const envelope = this.#context.prepare(topic, data, options)
        if (isThenable(envelope)) Promise.resolve(envelope).catch(() => undefined)
        outgoing.push({ topic, envelope, cause: item.identity })
      }
    const close = (): void => {
      scope.close()
      handle.close()
      watchdog?.leave()
    }
    watchdog?.enter()
    let result: unknown
    try {
      result = this.#call(handle.tx, scope, items, attempt, publishFor, calls)
    } catch (error) {
      close()
      throw error
    }
    // Not once it has timed out: what it changes then is nobody's.
    const { finish } = handle
    if (finish !== undefined) result = Promise.resolve(result).then(() => (scope.open ? finish() : undefined))
    if (!isThenable(result)) {
      close()
      return this.#emit(session, outgoing, collect)
    }
    return this.#awaited(result, scope, close).then(() => this.#emit(session, outgoing, collect))
  }

  #call(
    tx: unknown,
    scope: Scope,
    items: readonly Item[],
    attempt: number,
    publishFor: (item: Item) => PublishInside,
    calls: CallValues,
  ): unknown {
    if (this.#options.applyBatch !== undefined) {
      const batch: BatchItem<unknown>[] = items.map((item) => ({
        data: item.data,
        message: messageOf(item),
        attempt,
        publish: publishFor(item),
      }))
      return this.#options.applyBatch(batch, {
        tx,
        get signal() {
          return scope.signal
        },
      })
    }
    const item = items[0] as Item
    return this.#options.apply(item.data, new MessageContext(tx, publishFor(item), item, attempt, scope, calls))
  }

  async #awaited(result: PromiseLike<unknown>, scope: Scope, close: () => void): Promise<void> {
    const { runtime, settings } = this.#context
    let timer: Disposable | undefined
    let stopListening: (() => void) | undefined
    try {
      await Promise.race([
        result,
        new Promise<never>((_, reject) => {
          timer = runtime.after(settings.timeoutMs, () => {
            const error = new OnefoldError(
              'TRANSACTION_TIMEOUT',
              `apply did not end within transactionTimeoutMs (${settings.timeoutMs} ms); its transaction was rolled back and its tx revoked.`,
              { retry: 'later' },
            )
            scope.abort(error)
            reject(error)
          })
          stopListening = scope.onAbort(reject)
        }),
      ])
    } finally {
      timer?.[Symbol.dispose]()
      stopListening?.()
      close()
    }
  }

  #emit(session: Session<unknown>, prepared: readonly Prepared[], collect: Outgoing[] | undefined): Awaitable<void> {
    if (prepared.length === 0) return
    if (prepared.some(({ envelope }) => isThenable(envelope))) {
      const all = Promise.all(prepared.map(async (one): Promise<Outgoing> => ({ ...one, envelope: await one.envelope })))
      return all.then((ready) => this.#send(session, ready, collect))
    }
    return this.#send(session, prepared as readonly Outgoing[], collect)
  }

  #send(session: Session<unknown>, outgoing: readonly Outgoing[], collect: Outgoing[] | undefined): Awaitable<void> {
    if (collect !== undefined) {
      for (const one of outgoing) collect.push(one)
      return
    }
    return after(this.#context.emit(session, outgoing), (refused) => {
      if (refused !== undefined) throw refused
    })
  }
}

/** What `apply` finds under `calls`. */
export type CallValues = Readonly<{ [name: string]: unknown }>

const noCalls: CallValues = Object.freeze({})

/** Is the handler still running, and has it been told to stop? The AbortController is made only when somebody looks. */
class Scope {
  open = true
  readonly #outer: AbortSignal
  #controller: AbortController | undefined
  #both: AnySignal | undefined

  constructor(outer: AbortSignal) {
    this.#outer = outer
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    this.#both ??= new AnySignal([this.#outer, this.#controller.signal])
    const { signal } = this.#both
    if (!this.open) this.#both[Symbol.dispose]()
    return signal
  }

  close(): void {
    this.open = false
    this.#both?.[Symbol.dispose]()
  }

  abort(reason: unknown): void {
    this.#controller?.abort(reason)
  }

  /** Answers how to stop listening. */
  onAbort(listener: (reason: unknown) => void): () => void {
    const stop = (): void =>
      listener(
        new OnefoldError('ABORTED', 'the handler was stopped: its partition was taken over or the app stopped without waiting.', {
          retry: 'now',
        }),
      )
    if (this.#outer.aborted) stop()
    else this.#outer.addEventListener('abort', stop, { once: true })
    return () => this.#outer.removeEventListener('abort', stop)
  }
}

class MessageContext implements ApplyContext<unknown, unknown> {
  readonly tx: unknown
  readonly publish: PublishInside
  readonly attempt: number
  readonly calls: CallValues
  readonly #item: Item
  readonly #scope: Scope
  #message: Message<unknown> | undefined

  constructor(tx: unknown, publish: PublishInside, item: Item, attempt: number, scope: Scope, calls: CallValues) {
    this.calls = calls
    this.tx = tx
    this.publish = publish
    this.attempt = attempt
    this.#item = item
    this.#scope = scope
  }

  get message(): Message<unknown> {
    this.#message ??= messageOf(this.#item)
    return this.#message
  }

  get signal(): AbortSignal {
    return this.#scope.signal
  }
}

/** `next` after `first`, without a promise where none is needed. */
function after<A, B>(first: Awaitable<A>, next: (value: A) => Awaitable<B>): Awaitable<B> {
  return isThenable(first) ? first.then(next as (value: unknown) => Awaitable<B>) : next(first)
}
