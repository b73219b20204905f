import type { Assignment } from '../broker/broker.ts'
import { isOnefoldError, OnefoldError } from '../errors.ts'
import { ApplyHandler } from './apply-handler.ts'
import { ApplyStrategy } from './apply-strategy.ts'
import { CallStrategy } from './call-strategy.ts'
import type { Calls, ConsumeOptions } from './consume-options.ts'
import type { ConsumerContext } from './consumer-context.ts'
import { PartitionLoop } from './partition-loop.ts'
import { ReceiveStrategy } from './receive-strategy.ts'
import { Slots } from './slots.ts'
import type { Strategy } from './strategy.ts'

const againAfterMs = 250

/** One consumer group of one topic in this process: a loop for each partition it is given. */
export class Consumer {
  readonly context: ConsumerContext
  readonly #strategy: Strategy
  readonly #declaredCalls: ReadonlySet<string>
  readonly #loops = new Set<PartitionLoop>()
  readonly #stop = new AbortController()
  readonly #handlers = new Set<AbortController>()
  #assigned = false
  #startedMs = 0
  readonly #running = new Set<Promise<void>>()
  #subscribed: Promise<void> | undefined
  #gate: PromiseWithResolvers<void> | undefined
  #changes: Disposable | undefined

  constructor(context: ConsumerContext, options: ConsumeOptions<unknown, unknown>) {
    this.context = context
    this.#declaredCalls = new Set(Object.keys((options.calls as Calls<unknown> | undefined) ?? {}))
    this.#strategy = this.#strategyFor(options)
  }

  #strategyFor(options: ConsumeOptions<unknown, unknown>): Strategy {
    const { context } = this
    const slots = new Slots(context.settings.concurrency)
    if (options.receive !== undefined) return new ReceiveStrategy(context, options, slots)
    const handler = new ApplyHandler(context, options)
    const { calls } = options
    if (this.#declaredCalls.size === 0) return new ApplyStrategy(context, handler)
    // A slot that becomes free may be what a due message of any partition waits for.
    const freed = (): void => {
      for (const loop of this.#loops) loop.parkedChanged()
    }
    slots.onFree = freed
    return new CallStrategy(context, handler, calls as Calls<unknown>, slots)
  }

  async start(): Promise<void> {
    this.#startedMs = this.context.runtime.monotonicMs()
    const { database, subscription, settings, topic, broker } = this.context
    await database.write(
      (session) => session.groups.declare(subscription, { startFrom: settings.startFrom, semantics: settings.semantics }),
      {
        what: `declare group ${subscription.topic}/${subscription.group}`,
      },
    )
    await this.#refuseRenamedCalls()
    this.#changes = database.changes.onChange((topics) => {
      if (topics === undefined || topics.has(subscription.topic)) for (const loop of this.#loops) loop.parkedChanged()
    })
    this.#subscribed = this.#subscribe(() =>
      broker.subscribe(topic, subscription.group, {
        from: (partition) => this.#checkpoint(partition),
        startFrom: settings.startFrom,
        signal: this.#stop.signal,
      }),
    )
  }

  /** A call's name is its identity in the journal: under another name it would be made again. */
  async #refuseRenamedCalls(): Promise<void> {
    const { database, subscription } = this.context
    const open = await database.read((stores) => stores.calls.openNames(subscription))
    const missing = open.filter((name) => !this.#declaredCalls.has(name))
    if (missing.length === 0) return
    const { topic, group } = subscription
    throw new OnefoldError(
      'CALL_RENAMED',
      `group ${group} of topic ${topic} has messages that are not done and whose journal knows the call${missing.length > 1 ? 's' : ''} ${missing.join(', ')}, which the consumer does not declare. Give ${missing.length > 1 ? 'them their names' : 'it its name'} back, or finish or discard those messages first (\`onefold attention\`).`,
      { details: { topic, group, call: missing[0] } },
    )
  }

  /** True when nothing is under way here. */
  async idle(options: { readonly brokerIsDatabase: boolean }): Promise<boolean> {
    // In the database one can see what waits, whoever it is assigned to. A broker elsewhere that has not assigned
    // anything yet may still; one that has not for a whole lease has nothing for us.
    const { runtime, ownership } = this.context
    if (!options.brokerIsDatabase && !this.#assigned && runtime.monotonicMs() - this.#startedMs < ownership.leaseMs) return false
    for (const loop of this.#loops) if (!(await loop.idle())) return false
    return true
  }

  pause(): void {
    this.#gate ??= Promise.withResolvers<void>()
  }

  resume(): void {
    this.#gate?.resolve()
    this.#gate = undefined
  }

  get paused(): boolean {
    return this.#gate !== undefined
  }

  async opened(signal: AbortSignal): Promise<void> {
    const gate = this.#gate
    if (gate === undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const end = (): void => resolve()
    signal.addEventListener('abort', end, { once: true })
    await Promise.race([gate.promise, promise])
    signal.removeEventListener('abort', end)
  }

  /** Takes nothing new; resolves when what has begun has ended and the partitions are handed over. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#running)
    await this.#subscribed
    this.#changes?.[Symbol.dispose]()
  }

  /** Tells running handlers to end now. */
  abort(): void {
    for (const handlers of this.#handlers) handlers.abort()
  }

  async #checkpoint(partition: string): Promise<bigint | undefined> {
    return this.context.database.read((stores) => stores.checkpoints.get(this.context.subscription, partition))
  }

  /** Ends with the app, or with an error that asking again cannot mend. */
  async #subscribe(subscribe: () => AsyncIterable<Assignment>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#run(subscribe())
        return
      } catch (error) {
        const message = `subscription ended: ${(error as Error)?.message ?? String(error)}`
        this.context.report({ kind: 'database-error', message, error })
        if (!isOnefoldError(error) || error.retry === 'never') return
        await this.context.runtime.sleep(againAfterMs, this.#stop.signal)
      }
    }
  }

  async #run(assignments: AsyncIterable<Assignment>): Promise<void> {
    for await (const assignment of assignments) {
      if (this.#stop.signal.aborted) {
        await assignment.released()
        continue
      }
      this.#assigned = true
      const handlers = new AbortController()
      const loop = new PartitionLoop({
        context: this.context,
        assignment,
        strategy: this.#strategy,
        gate: this,
        stop: this.#stop.signal,
        handlers,
      })
      this.#loops.add(loop)
      this.#handlers.add(handlers)
      const running = loop.run().finally(() => {
        this.#loops.delete(loop)
        this.#handlers.delete(handlers)
        this.#running.delete(running)
      })
      this.#running.add(running)
    }
  }
}
