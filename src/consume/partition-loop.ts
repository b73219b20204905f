import { AnySignal } from '../any-signal.ts'
import type { Assignment } from '../broker/broker.ts'
import type { Delivery } from '../message.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import type { Item } from './item.ts'
import { toItems } from './item.ts'
import type { Strategy } from './strategy.ts'
import { Lost } from './strategy.ts'

/** After one unclean end, commits are this much smaller until the suspects are through. */
const cautiousFraction = 10
/** After this many, each suspect runs alone behind a durable mark. */
const suspiciousCrashes = 2
/** Parked messages are looked for at least this often, should a notice be missed. */
const parkedPollMs = 1_000

/** One partition from assignment to release: new deliveries and parked messages, one step at a time. */
export class PartitionLoop {
  readonly #context: ConsumerContext
  readonly #assignment: Assignment
  readonly #strategy: Strategy
  readonly #gate: { readonly paused: boolean; opened(signal: AbortSignal): Promise<void> }
  readonly #stop: AbortSignal
  readonly #handlers: AbortController
  /** Aborted when something beside the loop cannot go on. */
  readonly #failed = new AbortController()
  #busy = false
  #parkedDueMs: number | undefined
  #parkedDirty = true
  #wakeParked: (() => void) | undefined

  constructor(options: {
    context: ConsumerContext
    assignment: Assignment
    strategy: Strategy
    gate: { readonly paused: boolean; opened(signal: AbortSignal): Promise<void> }
    stop: AbortSignal
    handlers: AbortController
  }) {
    this.#context = options.context
    this.#assignment = options.assignment
    this.#strategy = options.strategy
    this.#gate = options.gate
    this.#stop = options.stop
    this.#handlers = options.handlers
  }

  /** Nothing is being done here, nothing is due, and the broker knows of nothing more. */
  async idle(): Promise<boolean> {
    if (this.#busy || this.#parkedDirty || this.#underWay > 0) return false
    const { database, subscription } = this.#context
    const dueMs = await database.read((stores) => stores.parked.nextDueMs(subscription, this.#assignment.partition))
    return dueMs === undefined && (await this.#assignment.drained()) && !this.#busy
  }

  /** A commit that may have made parked messages due. */
  parkedChanged(): void {
    this.#parkedDirty = true
    this.#wakeParked?.()
  }

  async run(): Promise<void> {
    const { subscription, ownership, database, runtime } = this.#context
    const { partition, revoked, lost } = this.#assignment
    using ending = new AnySignal([this.#stop, revoked, this.#failed.signal])
    const end = ending.signal
    const lose = (): void => this.#handlers.abort()
    let taken: Lease | undefined
    try {
      // A broker elsewhere says whose turn it is; what fences our commits is a lease in our own database.
      if (this.#assignment.lease === undefined)
        taken = await ownership.take(`${subscription.topic}/${subscription.group}/${partition}`, { force: true })
      const lease = this.#assignment.lease ?? taken
      if (lease === undefined) return
      const state: PartitionState = {
        partition,
        lease,
        turnsBeside: this.#strategy.beside !== undefined,
        parkedMore: false,
        held: new Set(await database.read((stores) => stores.parked.heldLanes(subscription, partition))),
        handlers: this.#handlers.signal,
        stopping: end,
        fail: (error) => {
          if (!(error instanceof Lost)) this.#report(error)
          this.#failed.abort(error)
          this.#handlers.abort()
        },
      }
      await this.#strategy.beside?.assigned(state)
      const suspects = new Suspects(
        lease,
        this.#context.settings.batchSize,
        await database.read((stores) => stores.startMarks.list(subscription, partition)),
      )
      this.#context.report({
        kind: lease.crashes > 0 ? 'taken-over' : 'assigned',
        partition,
        message:
          lease.crashes > 0
            ? `taken over after ${lease.crashes} unclean end(s), epoch ${lease.epoch}`
            : `assigned, epoch ${lease.epoch}`,
      })
      // A handler cannot be interrupted, but it can be told that its work will not count.
      lost.addEventListener('abort', lose, { once: true })
      let next: Promise<readonly Delivery[] | undefined> | undefined
      while (!end.aborted) {
        if (this.#gate.paused) await this.#gate.opened(end)
        if (end.aborted) break
        if (await this.#parkedDue()) {
          if (this.#strategy.beside?.takesMore === false) {
            // Nothing new is taken on while due messages wait for a free slot.
            await this.#parkedMayGoOn(end)
            continue
          }
          this.#busy = true
          this.#parkedDirty = true
          const marked = this.#strategy.waitsOutside ? suspects.repeated : suspects.any
          const parked = (): Promise<boolean> => this.#strategy.parked(state, { marked })
          await (marked ? this.#alone(parked) : this.#beside(parked))
          this.#busy = false
          continue
        }
        // What was under way when an earlier owner ended has ended as well, whichever way.
        if (suspects.through && this.#underWay === 0) {
          suspects.clear()
          await database.write((session) => session.ownership.trust(lease), { what: 'trust' })
        }
        if (next === undefined) {
          next = this.#assignment.next(suspects.limit, end)
          // It may fail while parked messages are attempted, before anybody waits for it: that is heard below, and ends no process.
          next.catch(() => undefined)
        }
        const deliveries = await this.#nextOrParked(next)
        if (deliveries === 'parked') continue
        next = undefined
        if (deliveries === undefined) break
        this.#busy = true
        const received = runtime.reached?.('consume:received')
        if (received !== undefined) await received
        const known = await this.#take(state, suspects, await toItems(this.#context.topic, deliveries))
        const committed = runtime.reached?.('consume:committed')
        if (committed !== undefined) await committed
        await this.#settle(deliveries.slice(known))
        const settled = runtime.reached?.('consume:settled')
        if (settled !== undefined) await settled
        this.#busy = false
        // Nothing is left: all that waited when the last owner ended has been through. (A short batch alone does not say so.)
        if (suspects.any && deliveries.length < suspects.limit && (await this.#assignment.drained()))
          suspects.passed(Number.POSITIVE_INFINITY)
      }
    } catch (error) {
      if (!(error instanceof Lost)) this.#report(error)
      this.#handlers.abort()
    } finally {
      // What is under way ends first: the lease is its right to commit.
      await this.#strategy.beside?.settled(partition)
      this.#busy = false
      lost.removeEventListener('abort', lose)
      if (taken !== undefined) await ownership.release(taken).catch(() => undefined)
      await this.#assignment.released().catch(() => undefined)
      this.#context.report({ kind: 'released', partition, message: 'released' })
    }
  }

  /** Answers how many of them, from the front, the broker has been told of. */
  async #take(state: PartitionState, suspects: Suspects, items: readonly Item[]): Promise<number> {
    const heldBefore = state.held
    let known = 0
    if (suspects.eachAlone)
      for (const item of items) {
        await this.#alone(() => this.#strategy.suspect(state, item))
        // At once: the next may end the process, and whoever knows no repeats would begin with the first again, for ever.
        await this.#settle([item.delivery])
        known++
      }
    else {
      let from = 0
      for (let index = 0; index < items.length; index++) {
        const item = items[index] as Item
        if (!suspects.marked(item.identity)) continue
        if (index > from) await this.#beside(() => this.#strategy.batch(state, items.slice(from, index)))
        await this.#alone(() => this.#strategy.suspect(state, item))
        from = index + 1
      }
      if (from < items.length) await this.#beside(() => this.#strategy.batch(state, from === 0 ? items : items.slice(from)))
    }
    suspects.passed(items.length)
    if (state.held !== heldBefore || state.held.size > 0 || state.turnsBeside || state.parkedMore) this.#parkedDirty = true
    state.parkedMore = false
    return known
  }

  async #settle(deliveries: readonly Delivery[]): Promise<void> {
    if (deliveries.length > 0) await this.#assignment.settle(deliveries.map((delivery) => ({ delivery, as: 'done' })))
  }

  #alone<R>(work: () => Promise<R>): Promise<R> {
    return this.#context.suspectLock.alone(work, { stopsOthers: this.#inTransactions })
  }

  #beside<R>(work: () => Promise<R>): Promise<R> {
    return this.#inTransactions ? this.#context.suspectLock.share(work) : work()
  }

  /** Its work is bounded by the transaction's time limit, and takes its turn with that of others anyhow. */
  get #inTransactions(): boolean {
    return !this.#strategy.waitsOutside
  }

  get #underWay(): number {
    return this.#strategy.beside?.underWay(this.#assignment.partition) ?? 0
  }

  #report(error: unknown): void {
    this.#context.report({
      kind: 'database-error',
      partition: this.#assignment.partition,
      message: `partition given up: ${(error as Error)?.message ?? String(error)}`,
      error,
    })
  }

  async #parkedMayGoOn(end: AbortSignal): Promise<void> {
    const { promise: ended, resolve } = Promise.withResolvers<undefined>()
    const stop = (): void => resolve(undefined)
    end.addEventListener('abort', stop, { once: true })
    await this.#nextOrParked(ended, { overdue: true })
    end.removeEventListener('abort', stop)
  }

  async #parkedDue(): Promise<boolean> {
    const { database, subscription, runtime } = this.#context
    if (this.#parkedDirty) {
      this.#parkedDirty = false
      this.#parkedDueMs = await database.read((stores) => stores.parked.nextDueMs(subscription, this.#assignment.partition))
    }
    return this.#parkedDueMs !== undefined && this.#parkedDueMs <= runtime.wallMs()
  }

  /** `overdue`: what is due waits for something else than its time. */
  async #nextOrParked(
    next: Promise<readonly Delivery[] | undefined>,
    options: { readonly overdue?: boolean } = {},
  ): Promise<readonly Delivery[] | undefined | 'parked'> {
    const { runtime } = this.#context
    if (this.#parkedDirty) return 'parked'
    using stack = new DisposableStack()
    const parked = new Promise<'parked'>((resolve) => {
      const wake = (): void => resolve('parked')
      this.#wakeParked = wake
      stack.defer(() => {
        this.#wakeParked = undefined
      })
      const untilDueMs = this.#parkedDueMs === undefined ? undefined : Math.max(1, this.#parkedDueMs - runtime.wallMs())
      const waitMs = options.overdue === true ? parkedPollMs : untilDueMs
      if (waitMs !== undefined) {
        stack.use(
          runtime.after(Math.min(waitMs, parkedPollMs), () => {
            this.#parkedDirty = true
            wake()
          }),
        )
      }
    })
    return await Promise.race([next, parked])
  }
}

/** Which of the next messages may have killed an earlier owner's process. */
class Suspects {
  limit: number
  readonly #marks: ReadonlySet<string>
  readonly #batchSize: number
  #crashes: number
  #left: number
  #pending: boolean

  constructor(lease: Lease, batchSize: number, marks: readonly { readonly identity: string }[]) {
    this.#crashes = lease.crashes
    this.#batchSize = batchSize
    this.#marks = new Set(marks.map((mark) => mark.identity))
    this.#left = lease.crashes > 0 ? batchSize : 0
    this.#pending = lease.crashes > 0
    this.limit = batchSize
    if (lease.crashes > 0) this.limit = Math.max(1, Math.ceil(batchSize / cautiousFraction))
  }

  get any(): boolean {
    return this.#crashes > 0
  }

  /** Once may be anybody's fault: what waits for the outside world is not slowed down for it. */
  get repeated(): boolean {
    return this.#crashes >= suspiciousCrashes
  }

  get eachAlone(): boolean {
    return this.#left > 0 && this.#crashes >= suspiciousCrashes
  }

  marked(identity: string): boolean {
    return this.#marks.has(identity)
  }

  passed(count: number): void {
    this.#left -= count
  }

  get through(): boolean {
    return this.#pending && this.#left <= 0
  }

  clear(): void {
    this.#pending = false
    this.#crashes = 0
    this.limit = this.#batchSize
  }
}
