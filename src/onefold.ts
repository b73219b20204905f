import type { App, OnefoldOptions } from './app.ts'
import type { AppBlueprint, Simulable } from './app-blueprint.ts'
import { blueprint, standIn } from './app-blueprint.ts'
import type { Attention } from './attention/attention.ts'
import { AttentionListener } from './attention/attention-listener.ts'
import { DatabaseAttention } from './attention/database-attention.ts'
import type { Broker } from './broker/broker.ts'
import { InDatabaseBroker } from './broker/in-database/in-database-broker.ts'
import type { Calls, ConsumeOptions, PublishInside } from './consume/consume-options.ts'
import { Consumer } from './consume/consumer.ts'
import type { ConsumerContext } from './consume/consumer-context.ts'
import { checkConsumeOptions } from './consume/settings.ts'
import { SuspectLock } from './consume/suspect-lock.ts'
import type { Database, DedupWindow } from './database/database.ts'
import type { EraseOptions, EraseResult } from './erase/eraser.ts'
import { erase } from './erase/eraser.ts'
import { isOnefoldError, OnefoldError, optionInvalid } from './errors.ts'
import type { AppEvent } from './event.ts'
import { compose } from './guarantee/compose.ts'
import type { Guarantee } from './guarantee/guarantee.ts'
import { refuseImpossible } from './guarantee/refusals.ts'
import { leftToDo } from './inspect/left-to-do.ts'
import type { DatabaseStatus } from './inspect/status.ts'
import type { Awaitable, Receipt } from './message.ts'
import { Relay } from './outbox/relay.ts'
import { LeasedTask } from './ownership/leased-task.ts'
import { Ownership } from './ownership/ownership.ts'
import type { PublishManyItem, PublishOptions } from './publish/publish-options.ts'
import { Publisher, stopped } from './publish/publisher.ts'
import { nodeRuntime } from './runtime/node-runtime.ts'
import type { Runtime } from './runtime.ts'
import { withNextInstants } from './schedule/next-instants.ts'
import type { ScheduleOptions } from './schedule/schedule-options.ts'
import { Scheduler } from './schedule/scheduler.ts'
import type { AnyTopic, Topic } from './topic.ts'
import { checkName } from './topic.ts'
import { whole } from './whole-number.ts'

const maintenanceEveryMs = 250

/**
 * An application of Onefold: where effects commit, how messages travel, and the consumers in between.
 * Opens nothing: the first `publish` or `start()` does.
 *
 * @throws OnefoldError `OPTION_INVALID` naming the option.
 * @example
 * const app = onefold({ source: 'shop', database: sqlite('app.db') })
 */
export function onefold<Tx, Joined = unknown>(options: OnefoldOptions<Tx, Joined>): App<Tx, Joined> {
  return new OnefoldApp<Tx>(options)
}

class OnefoldApp<Tx> implements App<Tx>, Simulable {
  readonly #options: OnefoldOptions<Tx>
  readonly #database: Database<Tx>
  readonly #runtime: Runtime
  readonly #ownership: Ownership
  readonly #broker: Broker
  readonly #ownBroker: boolean
  readonly #publisher: Publisher<Tx>
  readonly #window: DedupWindow
  readonly #suspectLock = new SuspectLock()
  readonly #declared: AppBlueprint['consumers'][number][] = []
  readonly #schedules: AppBlueprint['schedules'][number][] = []
  readonly #topics = new Map<string, AnyTopic>()
  #state: 'new' | 'started' | 'stopped' = 'new'
  #opening: Promise<void> | undefined
  #consumers: Consumer[] = []
  readonly #scheduler: Scheduler
  readonly attention: Attention
  readonly #attentionListener: AttentionListener | undefined
  #relay: Relay | undefined
  #maintenance: LeasedTask | undefined
  #stopping: Promise<void> | undefined
  #movedAway = false

  constructor(options: OnefoldOptions<Tx>) {
    if (typeof options?.database?.write !== 'function')
      throw optionInvalid('database', options?.database, "a database, for example sqlite('app.db') from 'onefold/sqlite'")
    if (options.source !== undefined) checkName('source', options.source)
    this.#options = options
    this.#database = options.database
    this.#runtime = options.runtime ?? nodeRuntime()
    const leaseMs = whole('leaseMs', options.leaseMs, 10_000, 200, 600_000)
    this.#window = {
      ms: whole('dedupWindow.ms', options.dedupWindow?.ms, 7 * 24 * 3_600_000, 60_000, Number.MAX_SAFE_INTEGER),
      maxIds: whole('dedupWindow.maxIds', options.dedupWindow?.maxIds, 10_000_000, 1_000, 1_000_000_000),
      stated: options.dedupWindow !== undefined,
    }
    this.#ownership = new Ownership(this.#database as Database<unknown>, this.#runtime, leaseMs)
    this.#broker =
      options.broker ?? new InDatabaseBroker(this.#database as Database<unknown>, { shared: { ownership: this.#ownership } })
    this.#ownBroker = options.broker === undefined
    this.#publisher = new Publisher<Tx>({
      database: this.#database,
      broker: this.#broker,
      brokerIsDatabase: this.#ownBroker,
      runtime: this.#runtime,
      source: options.source,
      open: () => this.#open(),
      opened: () => this.#opened(),
      met: (topic) => {
        if (!this.#topics.has(topic.name)) this.#topics.set(topic.name, topic)
      },
      limits: {
        maxMessages: whole('maxQueuedMessages', options.maxQueuedMessages, 100_000, 1, 1_000_000),
        maxBytes: whole('maxQueuedBytes', options.maxQueuedBytes, 64 * 1024 * 1024, 1_024, 4 * 1024 ** 3),
      },
    })
    this.attention = new DatabaseAttention({
      database: this.#database as Database<unknown>,
      runtime: this.#runtime,
      opened: () => this.#open(),
      topicNamed: (name) => this.#topics.get(name),
    })
    const { onAttention } = options
    if (onAttention !== undefined && typeof onAttention !== 'function')
      throw optionInvalid('onAttention', onAttention, 'a function of the item')
    if (onAttention !== undefined)
      this.#attentionListener = new AttentionListener(this.#database as Database<unknown>, onAttention)
    this.#scheduler = new Scheduler({
      database: this.#database as Database<unknown>,
      ownership: this.#ownership,
      runtime: this.#runtime,
      prepare: (topic, data, publishOptions) => this.#publisher.prepare(topic, data, publishOptions),
      publish: (session, topic, envelopes) =>
        this.#publisher.emit(
          session,
          envelopes.map((envelope) => ({ topic, envelope, cause: undefined })),
        ),
      report: (event) => this.#report(event),
    })
  }

  [standIn]: (() => App<unknown> | undefined) | undefined

  get [blueprint](): AppBlueprint {
    return { options: this.#options as OnefoldOptions<unknown>, consumers: this.#declared, schedules: this.#schedules }
  }

  get consumers(): readonly { readonly topic: AnyTopic; readonly group: string }[] {
    return this.#declared.map(({ topic, options }) => ({ topic, group: options.group }))
  }

  consume(
    topic: AnyTopic,
    second: ConsumeOptions<Tx, unknown> | string,
    apply?: (data: unknown, context: never) => unknown,
  ): void {
    if (this.#state !== 'new')
      throw new OnefoldError('APP_STARTED', 'consume() was called after start(); declare every consumer before the app starts.')
    const options = (typeof second === 'string' ? { group: second, apply } : second) as ConsumeOptions<unknown, unknown>
    checkConsumeOptions(options)
    if (this.#declared.some((declared) => declared.topic.name === topic.name && declared.options.group === options.group)) {
      throw optionInvalid(
        'group',
        options.group,
        `consumed once per topic in an app: ${topic.name} has a consumer of that group already`,
      )
    }
    this.#declared.push({ topic, options, declared: new Error('declared') })
    this.#topics.set(topic.name, topic)
  }

  schedule<I, D>(topic: Topic<I, D>, options: ScheduleOptions<I>): void {
    if (this.#state !== 'new')
      throw new OnefoldError('APP_STARTED', 'schedule() was called after start(); declare every schedule before the app starts.')
    this.#scheduler.declare(topic, options)
    this.#schedules.push({ topic, options })
    this.#topics.set(topic.name, topic)
  }

  async start(options: { readonly groups?: readonly string[] } = {}): Promise<void> {
    if (this.#state !== 'new')
      throw new OnefoldError(
        'APP_STARTED',
        this.#state === 'stopped' ? 'the app was stopped; make a new one.' : 'start() was called twice.',
      )
    const chosen = this.#declared.filter(({ options: { group } }) => options.groups?.includes(group) ?? true)
    for (const group of options.groups ?? []) {
      if (!chosen.some((declared) => declared.options.group === group))
        throw optionInvalid(
          'groups',
          group,
          `one of the groups declared with consume(): ${this.#declared.map((declared) => declared.options.group).join(', ') || 'none'}`,
        )
    }
    refuseImpossible(
      this.explain(),
      chosen.map(({ topic, options: { group } }) => ({ topic: topic.name, group })),
    )
    this.#state = 'started'
    try {
      await this.#scheduler.check()
      await this.#open()
      await this.#ownership.start()
      this.#refuseIfStopped()
      for (const { topic, options: consumeOptions } of chosen) {
        const consumer = new Consumer(this.#consumerContext(topic, consumeOptions), consumeOptions)
        this.#consumers.push(consumer)
        // Said here, where the caller hears it: a subscription's own errors come too late for start().
        if (this.#ownBroker)
          await this.#database.write((session) => session.topics.declare(topic), { what: `declare ${topic.name}` })
        await consumer.start()
        // stop() has ended what there was by then: what began now would never end.
        this.#refuseIfStopped()
      }
      const onError = (error: unknown): void =>
        this.#report({ kind: 'database-error', message: (error as Error)?.message ?? String(error), error })
      const shared = { ownership: this.#ownership, runtime: this.#runtime, onError }
      if (!this.#ownBroker) {
        this.#relay = new Relay({
          ...shared,
          database: this.#database as Database<unknown>,
          broker: this.#broker,
          topicNamed: (name) => this.#topics.get(name),
          onRefused: ({ topic, envelope: { id, source } }, error) => {
            const message = `the broker refuses message ${id} of topic ${topic} for good; it stays in the outbox, and later ones go on: ${error.message}`
            this.#report({ kind: 'outbox-refused', topic, id, source, message, error })
          },
        })
        this.#relay.start()
      }
      this.#scheduler.start()
      this.#maintenance = new LeasedTask({
        ...shared,
        name: 'maintenance',
        everyMs: maintenanceEveryMs,
        step: () => this.#database.maintain({ nowMs: this.#runtime.wallMs(), report: (event) => this.#report(event) }),
      })
    } catch (error) {
      await this.stop({ drainMs: 0 }).catch(() => undefined)
      throw error
    }
  }

  async idle(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (let quiet = 0; quiet < 2; ) {
      options.signal?.throwIfAborted()
      quiet = (await this.#isIdle()) ? quiet + 1 : 0
      if (quiet < 2) await this.#runtime.sleep(quiet > 0 ? 1 : 5, options.signal)
    }
  }

  explain(): Guarantee {
    return compose({
      source: this.#options.source,
      database: this.#database.card,
      broker: this.#broker.card,
      brokerIsDatabase: this.#ownBroker,
      dedupWindow: this.#window,
      topics: [...this.#topics.values()],
      consumers: this.#declared.map(({ topic, options }) => ({
        topic,
        group: options.group,
        handler: options.receive !== undefined ? 'receive' : options.applyBatch !== undefined ? 'applyBatch' : 'apply',
        settings: checkConsumeOptions(options),
        calls: (options.calls as Calls<unknown> | undefined) ?? {},
      })),
    })
  }

  pause(group: string): void {
    for (const consumer of this.#consumersOf(group)) consumer.pause()
  }

  resume(group: string): void {
    for (const consumer of this.#consumersOf(group)) consumer.resume()
  }

  stop(options: { readonly drainMs?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(whole('drainMs', options.drainMs, 30_000, 0, 24 * 3_600_000))
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  readonly groups = {
    list: async () => (await this.status()).groups,
    remove: async (topic: string, group: string) => {
      await this.#open()
      return this.#database.write((session) => session.groups.remove({ topic, group }), {
        what: `remove group ${topic}/${group}`,
      })
    },
  }

  readonly topics = {
    change: async (name: string, change: { partitions?: number; keyed?: boolean; idReuse?: 'error' | 'ignore' }) => {
      await this.#open()
      await this.#database.write((session) => session.topics.change(name, change), { what: `change topic ${name}` })
    },
  }

  async erase(topic: string | AnyTopic, options: EraseOptions): Promise<EraseResult> {
    this.#publisher.refuseInside()
    await this.#open()
    const ports = { database: this.#database as Database<unknown>, runtime: this.#runtime }
    return erase(ports, typeof topic === 'string' ? topic : topic.name, options)
  }

  async status(): Promise<DatabaseStatus> {
    await this.#open()
    return withNextInstants(await this.#database.status())
  }

  async backup(
    file: string,
    options: { readonly onProgress?: (done: number, total: number) => void; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.#open()
    await this.#database.backup(file, options)
  }

  #refuseIfStopped(): void {
    if (this.#state === 'stopped') throw stopped()
  }

  async #open(): Promise<void> {
    this.#refuseIfStopped()
    await this.#opened()
  }

  /** Also after stop(): what was published before it still goes out. */
  async #opened(): Promise<void> {
    this.#opening ??= this.#database
      .open({ runtime: this.#runtime, dedupWindow: this.#window })
      .then(() => this.#broker.open(this.#runtime))
    try {
      await this.#opening
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  publish<I, D>(
    topic: Topic<I, D>,
    data: NoInfer<I>,
    options: PublishOptions & { readonly tx?: unknown } = {},
  ): Promise<Receipt> {
    return this[standIn]?.()?.publish(topic, data, options) ?? this.#publisher.publish(topic, data, options)
  }

  publishMany<I, D>(
    topic: Topic<I, D>,
    items: readonly PublishManyItem<I>[],
    options: { readonly tx?: unknown; readonly signal?: AbortSignal } = {},
  ): Promise<Receipt[]> {
    return this[standIn]?.()?.publishMany(topic, items, options) ?? this.#publisher.publishMany(topic, items, options)
  }

  transaction<R>(work: (context: { tx: Tx; publish: PublishInside }) => Awaitable<R>): Promise<R> {
    const other = this[standIn]?.() as App<Tx> | undefined
    return other?.transaction(work) ?? this.#publisher.transaction(work)
  }

  #consumerContext(topic: AnyTopic, options: ConsumeOptions<unknown, unknown>): ConsumerContext {
    const settings = checkConsumeOptions(options)
    const subscription = { topic: topic.name, group: options.group }
    return {
      database: this.#database as Database<unknown>,
      broker: this.#broker,
      runtime: this.#runtime,
      ownership: this.#ownership,
      topic,
      subscription,
      settings,
      claims: this.#broker.card.claims['may hold duplicates'] !== false,
      suspectLock: this.#suspectLock,
      watchdog:
        options.receive === undefined
          ? this.#runtime.watch?.(settings.timeoutMs, `a handler of ${topic.name}/${options.group}`)
          : undefined,
      prepare: (other, data, publishOptions) => this.#publisher.prepare(other, data, publishOptions),
      emit: (session, outgoing) => this.#publisher.emit(session, outgoing),
      report: (event) => this.#report({ ...event, topic: topic.name, group: options.group }),
    }
  }

  #consumersOf(group: string): Consumer[] {
    const found = this.#consumers.filter((consumer) => consumer.context.subscription.group === group)
    if (found.length === 0) throw optionInvalid('group', group, 'a group that was started in this app')
    return found
  }

  async #isIdle(): Promise<boolean> {
    if (this.#publisher.waiting > 0) return false
    for (const consumer of this.#consumers) {
      if (!(await consumer.idle({ brokerIsDatabase: this.#ownBroker }))) return false
      if (this.#ownBroker && (await leftToDo(this.#database as Database<unknown>, consumer.context.subscription))) return false
    }
    return this.#ownBroker || (await this.#database.read((stores) => stores.outbox.read(1))).length === 0
  }

  async #stop(drainMs: number): Promise<void> {
    const wasStarted = this.#state === 'started'
    this.#state = 'stopped'
    await this.#publisher.stop()
    const opened = this.#opening
    if (opened === undefined) return
    const opening = await opened.then(
      () => true,
      () => false,
    )
    if (!opening) return
    const abort = new AbortController()
    const stopping = Promise.all(this.#consumers.map((consumer) => consumer.stop()))
    void this.#runtime.sleep(drainMs, abort.signal).then(() => {
      if (!abort.signal.aborted) for (const consumer of this.#consumers) consumer.abort()
    })
    await stopping
    abort.abort()
    await this.#attentionListener?.told()
    await this.#relay?.stop()
    await this.#maintenance?.stop()
    await this.#scheduler.stop()
    for (const consumer of this.#consumers) consumer.context.watchdog?.[Symbol.dispose]()
    try {
      if (wasStarted) {
        await this.#ownership.stop().catch((error) => {
          // Sealing has ended what we owned there.
          if (!isOnefoldError(error, 'MOVED_TO')) throw error
        })
      }
    } finally {
      // Also when the disk fails just then: what was not released is taken over, and nothing stays open here.
      await this.#broker.close()
      await this.#database.close()
    }
  }

  #report(event: AppEvent): void {
    // Of our own databases, and not of another app's that a handler has to do with.
    const ours = event.kind === 'moved' || event.kind === 'database-error'
    if (ours && isOnefoldError(event.error, 'MOVED_TO')) {
      // Whatever meets it first tells of it; the rest is silent.
      if (this.#movedAway) return
      this.#movedAway = true
      void this.#endBackground().catch(() => undefined)
      this.#tell({ kind: 'moved', message: event.error.message, error: event.error })
    } else this.#tell(event)
  }

  /** Publishing goes on to be answered, with what has become of the database. */
  async #endBackground(): Promise<void> {
    await Promise.all([
      ...this.#consumers.map((consumer) => consumer.stop()),
      this.#relay?.stop(),
      this.#maintenance?.stop(),
      this.#scheduler.stop(),
    ])
  }

  #tell(event: AppEvent): void {
    this.#attentionListener?.reported(event)
    try {
      this.#options.onEvent?.(event)
    } catch {
      // A listener's own trouble must not become the consumer's.
    }
  }
}
