import { tokenOf } from '../calls/token.ts'
import { isOnefoldError, OnefoldError } from '../errors.ts'
import { isErased } from '../message.ts'
import { commitUnderLease } from './commit.ts'
import type { ConsumeReceive } from './consume-options.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import { afterFailure, deadLetter, laneWhenParked, messageLate, reportFailure, toBehind, toParked } from './failure.ts'
import type { Item } from './item.ts'
import { messageOf, toItems } from './item.ts'
import { groupByLane } from './lanes.ts'
import { without } from './parked-attempt.ts'
import type { NewParked } from './parked-store.ts'
import type { Slots } from './slots.ts'
import type { Strategy } from './strategy.ts'
import { Lost } from './strategy.ts'
import { withinTime } from './time-limit.ts'

type Result = { readonly as: 'applied' | 'suppressed' | 'lost' } | { readonly as: 'parked'; readonly parked: NewParked }

/**
 * At least once and at most once: the handler runs outside any transaction, and the acknowledgement is a commit of its
 * own after it (it may happen again) or before it (it may be lost).
 */
export class ReceiveStrategy implements Strategy {
  readonly #context: ConsumerContext
  readonly #options: ConsumeReceive<unknown>
  readonly #slots: Slots

  constructor(context: ConsumerContext, options: ConsumeReceive<unknown>, slots: Slots) {
    this.#context = context
    this.#options = options
    this.#slots = slots
  }

  readonly waitsOutside = true
  readonly beside = undefined

  batch(state: PartitionState, items: readonly Item[]): Promise<void> {
    return this.#options.semantics === 'at-most-once'
      ? this.#acknowledgeFirst(state, items)
      : this.#acknowledgeAfter(state, items)
  }

  async suspect(state: PartitionState, item: Item): Promise<void> {
    const { subscription, settings } = this.#context
    const starts = await commitUnderLease(this.#context, state, (session) =>
      session.startMarks.begin(subscription, state.partition, item.identity, state.lease),
    )
    const mark = item.identity
    if (starts > settings.maxCrashes)
      return await this.#acknowledgeAfter(state, [{ ...item, invalid: crashed(item, starts - 1) }], mark)
    if (this.#options.semantics !== 'at-most-once') return await this.#acknowledgeAfter(state, [item], mark)
    await this.#acknowledgeFirst(state, [item])
    await commitUnderLease(this.#context, state, (session) =>
      session.startMarks.clear(subscription, state.partition, item.identity),
    )
  }

  async #acknowledgeFirst(state: PartitionState, items: readonly Item[]): Promise<void> {
    const { subscription, claims } = this.#context
    const { fresh, late } = await commitUnderLease(this.#context, state, async (session) => {
      const beyond = await this.#beyond(session.checkpoints, state, items)
      const statuses = claims
        ? await session.inbox.claim(
            subscription,
            beyond.map((item) => item.envelope),
          )
        : undefined
      const taken = statuses === undefined ? beyond : beyond.filter((_, index) => statuses[index] === 'new')
      await session.checkpoints.advance(subscription, state.partition, {
        offset: items.at(-1)?.delivery.offset,
        applied: taken.length,
        suppressed: items.length - taken.length,
      })
      const tooOld = beyond.filter((_, index) => statuses?.[index] === 'too-old')
      const forgottenMs = tooOld.length > 0 ? await session.inbox.forgottenMs(subscription) : undefined
      return { fresh: taken, late: tooOld.map((item) => ({ item, error: messageLate(this.#context, item, forgottenMs) })) }
    })
    for (const { item, error } of late) {
      const message = `it is not run, as it may have been before (at most once): ${error.message}`
      this.#context.report({ kind: 'attempt-failed', partition: state.partition, id: item.envelope.id, message, error })
    }
    await this.#context.runtime.reached?.('consume:acknowledged')
    await this.#runLanes(fresh, async (item) => {
      try {
        if (item.invalid !== undefined) throw item.invalid
        await this.#call(state, item, 1)
      } catch (error) {
        this.#context.report({
          kind: 'attempt-failed',
          partition: state.partition,
          id: item.envelope.id,
          message: `its only attempt failed and the message is lost (at most once): ${(error as Error)?.message ?? String(error)}`,
          error,
        })
      }
    })
  }

  /** `mark`: the start mark that goes with the acknowledgement. Left behind, it would accuse a message that a person has redriven. */
  async #acknowledgeAfter(state: PartitionState, items: readonly Item[], mark?: string): Promise<void> {
    const { database } = this.#context
    const { open, lanes } = await database.read(async (stores) => ({
      open: new Set(await this.#beyond(stores.checkpoints, state, items)),
      // Together: who was frozen and taken over must not see what others have done in the one and not in the other.
      lanes: await stores.parked.heldLanes(this.#context.subscription, state.partition),
    }))
    const results: (Result | undefined)[] = items.map((item) => (open.has(item) ? undefined : { as: 'suppressed' }))
    state.held = new Set(lanes)
    const held = new Set(state.held)
    const acknowledger = new Acknowledger(this.#context, state, items, results, mark)
    await this.#runLanes([...open], async (item) => {
      if (state.stopping.aborted) {
        results[items.indexOf(item)] = { as: 'lost' }
        return
      }
      const result =
        item.lane !== undefined && held.has(item.lane)
          ? { as: 'parked' as const, parked: toBehind(item) }
          : await this.#attempts(state, item)
      if (result.as === 'parked' && result.parked.lane !== undefined) held.add(result.parked.lane)
      results[items.indexOf(item)] = result
      acknowledger.changed()
    })
    await acknowledger.finish()
    // Stopped on the way: what was not handled must come again, so the broker is not to hear that it is done.
    if (results.some((result) => result?.as === 'lost')) throw new Lost('stopped before every handler had ended')
    state.held = held
  }

  async parked(state: PartitionState, options: { readonly marked: boolean }): Promise<boolean> {
    const { database, subscription, runtime, topic, settings } = this.#context
    const rows = await database.read((stores) =>
      stores.parked.due(subscription, state.partition, runtime.wallMs(), options.marked ? 1 : this.#slots.size),
    )
    if (rows.length === 0) return false
    await Promise.all(
      rows.map(async (row) => {
        const [decoded] = await toItems(topic, [{ envelope: row.envelope, redelivered: true }])
        if (decoded === undefined) return
        const item: Item = { ...decoded, lane: row.lane }
        let crashes = row.crashes
        if (options.marked) {
          crashes =
            (await commitUnderLease(this.#context, state, (session) =>
              session.startMarks.begin(subscription, state.partition, item.identity, state.lease),
            )) - 1
        }
        const attempts = row.attempts + 1
        const tooOften = crashes >= settings.maxCrashes
        let error: unknown = item.invalid ?? (tooOften ? crashed(item, crashes) : undefined)
        if (error === undefined) {
          try {
            await this.#slots.use(() => this.#call(state, item, attempts))
          } catch (caught) {
            if (isStopped(caught)) return
            error = caught ?? new Error(String(caught))
          }
        }
        const failed = error === undefined ? undefined : afterFailure(this.#context, error, attempts)
        const final =
          error !== undefined &&
          (item.invalid !== undefined || tooOften || (failed?.step === 'park' && failed.state === 'attention'))
        await commitUnderLease(this.#context, state, async (session) => {
          if (options.marked) await session.startMarks.clear(subscription, state.partition, item.identity)
          if (error === undefined) {
            const there = await session.parked.done(row.row, runtime.wallMs())
            await session.checkpoints.advance(subscription, state.partition, { applied: there ? 1 : 0, suppressed: 0 })
          } else {
            await session.parked.failed(
              row.row,
              {
                state: final ? 'attention' : 'waiting',
                before: row,
                attempts,
                crashes,
                dueMs: failed?.step === 'park' ? failed.dueMs : runtime.wallMs(),
                ...(final ? { reason: deadLetter(error) } : {}),
                release: final && laneWhenParked(this.#context, item, 'attention') === undefined,
              },
              runtime.wallMs(),
            )
          }
        })
        if (error !== undefined)
          reportFailure(this.#context, state.partition, item, error, attempts, final ? 'attention' : 'waiting')
      }),
    )
    await database.read(async (stores) => {
      for (const { lane } of rows)
        if (lane !== undefined && !(await stores.parked.holds(subscription, state.partition, lane)))
          state.held = without(state.held, lane)
    })
    return !state.handlers.aborted
  }

  async #attempts(state: PartitionState, item: Item): Promise<Result> {
    if (item.invalid !== undefined)
      return this.#park(
        state,
        item,
        item.invalid,
        { step: 'park', state: 'attention', dueMs: 0, reason: deadLetter(item.invalid) },
        1,
      )
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#call(state, item, attempt)
        return { as: 'applied' }
      } catch (error) {
        if (isStopped(error)) return { as: 'lost' }
        const failed = afterFailure(this.#context, error, attempt)
        if (failed.step === 'park') return this.#park(state, item, error, failed, attempt)
      }
    }
  }

  #park(state: PartitionState, item: Item, error: unknown, failed: Parameters<typeof toParked>[2], attempts: number): Result {
    reportFailure(this.#context, state.partition, item, error, attempts, failed.state)
    return { as: 'parked', parked: toParked(this.#context, item, failed, attempts, crashesOf(error)) }
  }

  async #beyond(
    checkpoints: {
      get(subscription: ConsumerContext['subscription'], partition: string): bigint | undefined | PromiseLike<bigint | undefined>
    },
    state: PartitionState,
    items: readonly Item[],
  ): Promise<Item[]> {
    const checkpoint = await checkpoints.get(this.#context.subscription, state.partition)
    return items.filter(
      ({ delivery, envelope }) =>
        !isErased(envelope) && (delivery.offset === undefined || checkpoint === undefined || delivery.offset > checkpoint),
    )
  }

  async #runLanes(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
    await Promise.all(
      groupByLane(items).map(async (lane) => {
        for (const item of lane) await this.#slots.use(() => run(item))
      }),
    )
  }

  async #call(state: PartitionState, item: Item, attempt: number): Promise<void> {
    const { runtime, settings, subscription } = this.#context
    const token = tokenOf(subscription.topic, subscription.group, item.identity)
    await runtime.reached?.('consume:receiving')
    await withinTime(
      runtime,
      {
        limitMs: settings.timeoutMs,
        outer: state.handlers,
        stopped,
        expired: () =>
          new OnefoldError('TRANSACTION_TIMEOUT', `receive did not end within timeoutMs (${settings.timeoutMs} ms).`, {
            retry: 'later',
            outcome: 'unknown',
          }),
      },
      (signal) => this.#options.receive(item.data, { message: messageOf(item), attempt, token, signal }),
    )
    await runtime.reached?.('consume:received-done')
  }
}

/** Commits what has been handled, from the front, while later messages are still being handled. */
class Acknowledger {
  readonly #context: ConsumerContext
  readonly #state: PartitionState
  readonly #items: readonly Item[]
  readonly #results: readonly (Result | undefined)[]
  readonly #mark: string | undefined
  #acknowledged = 0
  #running: Promise<void> | undefined
  #failure: unknown

  constructor(
    context: ConsumerContext,
    state: PartitionState,
    items: readonly Item[],
    results: readonly (Result | undefined)[],
    mark: string | undefined,
  ) {
    this.#mark = mark
    this.#context = context
    this.#state = state
    this.#items = items
    this.#results = results
  }

  changed(): void {
    if (this.#running !== undefined || this.#results[this.#acknowledged] === undefined) return
    const run = this.#run().finally(() => {
      this.#running = undefined
    })
    this.#running = run
    run.catch((error) => {
      this.#failure ??= error
    })
  }

  async finish(): Promise<void> {
    await this.#running?.catch(() => undefined)
    // Refused once, refused for good: the partition is somebody else's.
    if (this.#failure !== undefined) throw this.#failure
    await this.#run()
  }

  async #run(): Promise<void> {
    const { subscription, runtime } = this.#context
    for (;;) {
      let end = this.#acknowledged
      while (end < this.#items.length && this.#results[end] !== undefined && this.#results[end]?.as !== 'lost') end++
      if (end === this.#acknowledged) return
      const done = this.#results.slice(this.#acknowledged, end) as Result[]
      const parked = done.flatMap((result) => (result.as === 'parked' ? [result.parked] : []))
      if (parked.length > 0) this.#state.parkedMore = true
      const offset = this.#items[end - 1]?.delivery.offset
      await commitUnderLease(this.#context, this.#state, async (session) => {
        if (this.#mark !== undefined) await session.startMarks.clear(subscription, this.#state.partition, this.#mark)
        // A COMMIT that answered with an error may have done it.
        const passed = await session.checkpoints.get(subscription, this.#state.partition)
        if (offset !== undefined && passed !== undefined && passed >= offset) return
        if (parked.length > 0) await session.parked.park(subscription, this.#state.partition, parked, runtime.wallMs())
        await session.checkpoints.advance(subscription, this.#state.partition, {
          offset,
          applied: done.filter((result) => result.as === 'applied').length,
          suppressed: done.filter((result) => result.as === 'suppressed').length,
        })
      })
      this.#acknowledged = end
    }
  }
}

function crashed(item: Item, crashes: number): OnefoldError {
  return new OnefoldError(
    'APPLY_CRASHED',
    `the process ended ${crashes} times while message ${item.envelope.id} was running alone.`,
    { details: { id: item.envelope.id, crashes } },
  )
}

function crashesOf(error: unknown): number {
  return isOnefoldError(error, 'APPLY_CRASHED') ? Number(error.details.crashes ?? 0) : 0
}

function stopped(): OnefoldError {
  return new OnefoldError('ABORTED', 'stopped before the handler ended; the message is handed over again.', {
    retry: 'now',
    outcome: 'unknown',
  })
}

function isStopped(error: unknown): boolean {
  return error instanceof OnefoldError && error.code === 'ABORTED'
}
