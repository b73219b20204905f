import type { Session } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable } from '../message.ts'
import { isThenable } from '../message.ts'
import type { ApplyHandler } from './apply-handler.ts'
import { commitUnderLease } from './commit.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import type { ParkStep } from './failure.ts'
import {
  afterFailure,
  attemptRecord,
  deadLetter,
  isBlamed,
  isInfrastructure,
  isStopped,
  lateMessage,
  reportFailure,
  toBehind,
  toParked,
} from './failure.ts'
import type { Item } from './item.ts'
import { ParkedAttempt } from './parked-attempt.ts'
import type { Strategy } from './strategy.ts'
import { PublishRefused } from './strategy.ts'
import type { Tally } from './tally.ts'
import { addTally, emptyTally } from './tally.ts'
import { triage } from './triage.ts'

/** A batch's transaction is committed after this long even when messages are left: others want the lock too. */
const commitAfterMs = 30
/** Up to this many share a commit with other partitions' without ado. */
const fewMessages = 16
/** Identities are recorded this many at a time, so that those not reached are not recorded. */
const claimSlice = 64

/** Effectively once: the check, the effect, what it publishes and the proof commit together. */
export class ApplyStrategy implements Strategy {
  readonly #context: ConsumerContext
  readonly #handler: ApplyHandler
  readonly #attempt: ParkedAttempt
  readonly #defers: ((item: Item) => boolean) | undefined

  /** What `defers` picks is parked for a first attempt of its own, for another strategy to run. */
  constructor(context: ConsumerContext, handler: ApplyHandler, defers?: (item: Item) => boolean) {
    this.#context = context
    this.#handler = handler
    this.#attempt = new ParkedAttempt(context, handler)
    this.#defers = defers
  }

  readonly waitsOutside = false
  readonly beside = undefined

  async batch(state: PartitionState, items: readonly Item[]): Promise<void> {
    let rest = items
    // What is published goes out together, once for the whole batch, unless some of it is refused.
    let together = true
    while (rest.length > 0) {
      try {
        const tally = await commitUnderLease(
          this.#context,
          state,
          (session) => this.#transaction(session, state, rest, { together }),
          { nested: rest.length > fewMessages, handsOutTx: true },
        )
        this.#adopt(state, tally)
        rest = rest.slice(tally.done)
      } catch (error) {
        if (error instanceof PublishRefused) {
          together = false
          continue
        }
        if (!isBlamed(error)) throw error
        // One of them ended the transaction or cannot commit. Alone, each shows whether it was the one.
        if (rest.length > 1) for (const item of rest) await this.#alone(state, item)
        else await this.#blame(state, rest[0] as Item, error)
        return
      }
    }
  }

  async suspect(state: PartitionState, item: Item): Promise<void> {
    const { subscription, settings } = this.#context
    const starts = await commitUnderLease(this.#context, state, (session) =>
      session.startMarks.begin(subscription, state.partition, item.identity, state.lease),
    )
    if (starts > settings.maxCrashes) {
      const crashed = new OnefoldError(
        'APPLY_CRASHED',
        `the process ended ${starts - 1} times while message ${item.envelope.id} was running alone.`,
        {
          details: { topic: subscription.topic, group: subscription.group, id: item.envelope.id, crashes: starts - 1 },
        },
      )
      await this.#blame(state, item, crashed, starts - 1, item.identity)
    } else await this.#alone(state, item, item.identity)
  }

  async parked(state: PartitionState, options: { readonly marked: boolean }): Promise<boolean> {
    const { database, subscription, runtime } = this.#context
    const [row] = await database.read((stores) => stores.parked.due(subscription, state.partition, runtime.wallMs(), 1))
    if (row === undefined) return false
    const turn = await this.#attempt.begin(state, row, options)
    if (turn !== undefined) await this.#attempt.apply(state, turn)
    return true
  }

  /** In a transaction of its own, shared with nobody. */
  async #alone(state: PartitionState, item: Item, mark?: string): Promise<void> {
    try {
      const tally = await commitUnderLease(
        this.#context,
        state,
        (session) => this.#transaction(session, state, [item], { together: false, mark }),
        { alone: true, handsOutTx: true },
      )
      this.#adopt(state, tally)
    } catch (error) {
      if (!isBlamed(error)) throw error
      await this.#blame(state, item, error, 0, mark)
    }
  }

  /** Parks a message without running it: it ended its transaction, was refused at COMMIT, or killed its process. */
  async #blame(state: PartitionState, item: Item, error: unknown, crashes = 0, mark?: string): Promise<void> {
    const tally = await commitUnderLease(this.#context, state, async (session) => {
      const { fresh, ...rest } = await triage(this.#context, session, state, [item])
      for (const one of fresh) {
        if (one.late !== undefined) this.#holdLate(rest, state, one, one.late)
        else if (one.lane !== undefined && (rest.held ?? state.held).has(one.lane)) rest.parked.push(toBehind(one))
        else if (crashes > 0)
          this.#park(rest, one, { step: 'park', state: 'attention', dueMs: 0, reason: deadLetter(error) }, 1, error, crashes)
        else this.#failed(rest, one, error, this.#context.settings.inlineAttempts)
      }
      await this.#parkAll(session, state, rest)
      if (mark !== undefined) await session.startMarks.clear(this.#context.subscription, state.partition, mark)
      return this.#finish(session, state, [item], rest)
    })
    this.#adopt(state, tally)
  }

  /** The body of a shared commit. Synchronous per message as long as the handler is. */
  async #transaction(
    session: Session<unknown>,
    state: PartitionState,
    items: readonly Item[],
    { together, mark }: { readonly together: boolean; readonly mark?: string | undefined },
  ): Promise<Tally> {
    const { runtime, claims, subscription } = this.#context
    const startedMs = runtime.monotonicMs()
    const late = (): boolean => session.full === true || runtime.monotonicMs() - startedMs > commitAfterMs
    const total = emptyTally()
    const size = claims ? claimSlice : items.length
    if (items.length > size)
      await session.inbox.lockSets?.(
        subscription,
        items.map((item) => item.envelope),
      )
    while (total.done < items.length && (total.done === 0 || !late())) {
      const slice = items.slice(total.done, total.done + size)
      const view: PartitionState = { ...state, held: total.held ?? state.held }
      const { fresh, ...tally } = await triage(this.#context, session, view, slice)
      if (together) {
        total.outgoing ??= []
        tally.outgoing = total.outgoing
      }
      const claimed = runtime.reached?.('consume:claimed')
      if (claimed !== undefined) await claimed
      if (this.#handler.takesBatches) await this.#batchHandler(session, view, fresh, tally)
      else {
        for (const item of fresh) {
          const ran = this.#one(session, view, item, tally, 1)
          if (isThenable(ran)) await ran
          // Without claims the rest can be left for the next commit: the checkpoint simply stops here.
          if (!claims && item !== fresh.at(-1) && late()) {
            tally.done = slice.indexOf(item) + 1
            break
          }
        }
      }
      await this.#parkAll(session, state, tally)
      addTally(total, tally)
    }
    if (total.outgoing !== undefined && total.outgoing.length > 0) {
      const refused = await this.#context.emit(session, total.outgoing)
      if (refused !== undefined) throw new PublishRefused(refused.message)
    }
    if (mark !== undefined) await session.startMarks.clear(subscription, state.partition, mark)
    return this.#finish(session, state, items, total)
  }

  #one(session: Session<unknown>, state: PartitionState, item: Item, tally: Tally, attempt: number): Awaitable<void> {
    if (item.late !== undefined) return this.#holdLate(tally, state, item, item.late)
    if (item.refused !== true && item.lane !== undefined && (tally.held ?? state.held).has(item.lane)) {
      tally.parked.push(toBehind(item))
      return
    }
    if (item.invalid !== undefined) {
      this.#park(
        tally,
        item,
        { step: 'park', state: 'attention', dueMs: 0, reason: deadLetter(item.invalid) },
        attempt,
        item.invalid,
      )
      return
    }
    if (this.#defers?.(item) === true) {
      const dueMs = this.#context.runtime.wallMs()
      const { envelope, lane, delivery } = item
      tally.parked.push({ envelope, state: 'waiting', attempts: 0, crashes: 0, dueMs, lane, offset: delivery.offset })
      if (item.lane !== undefined) tally.held = (tally.held ?? new Set(state.held)).add(item.lane)
      return
    }
    let ran: Awaitable<void>
    try {
      ran = this.#handler.run(session, state, [item], attempt, tally.outgoing)
    } catch (error) {
      return this.#again(session, state, item, tally, attempt, error)
    }
    if (!isThenable(ran)) {
      tally.applied++
      return
    }
    return ran.then(
      () => {
        tally.applied++
      },
      (error) => this.#again(session, state, item, tally, attempt, error),
    )
  }

  #again(
    session: Session<unknown>,
    state: PartitionState,
    item: Item,
    tally: Tally,
    attempt: number,
    error: unknown,
  ): Awaitable<void> {
    if (isInfrastructure(error) || isBlamed(error) || isStopped(error)) throw error
    if (!this.#failed(tally, item, error, attempt)) return this.#one(session, state, item, tally, attempt + 1)
  }

  /** All of them in one call, or, when that fails, one by one. */
  async #batchHandler(session: Session<unknown>, state: PartitionState, fresh: readonly Item[], tally: Tally): Promise<void> {
    const held = new Set(tally.held ?? state.held)
    const together = fresh.filter(({ invalid, late, lane }) => {
      const alone = invalid !== undefined || late !== undefined || (lane !== undefined && held.has(lane))
      // What follows it in its lane must not overtake it.
      if (alone && lane !== undefined) held.add(lane)
      return !alone
    })
    if (together.length > 1) {
      try {
        await this.#handler.run(session, state, together, 1, tally.outgoing)
        tally.applied += together.length
        for (const item of fresh) if (!together.includes(item)) await this.#one(session, state, item, tally, 1)
        return
      } catch (error) {
        if (isInfrastructure(error) || isBlamed(error) || isStopped(error)) throw error
      }
    }
    for (const item of fresh) await this.#one(session, state, item, tally, 1)
  }

  /** Parks the message, or answers false when it is to be attempted again at once. */
  #failed(tally: Tally, item: Item, error: unknown, attempts: number): boolean {
    const failed = afterFailure(this.#context, error, attempts)
    if (failed.step === 'again-inline') {
      tally.tried ??= new Map()
      const record = attemptRecord(error, attempts, this.#context.runtime.wallMs())
      tally.tried.set(item, [...(tally.tried.get(item) ?? []), record])
      return false
    }
    this.#park(tally, item, failed, attempts, error)
    return true
  }

  #park(tally: Tally, item: Item, failed: ParkStep, attempts: number, error: unknown, crashes = 0): void {
    const failures = [...(tally.tried?.get(item) ?? []), attemptRecord(error, attempts, this.#context.runtime.wallMs())]
    const parked = toParked(this.#context, item, failed, attempts, crashes, failures)
    tally.parked.push(parked)
    if (parked.lane !== undefined) tally.held = (tally.held ?? new Set()).add(parked.lane)
    tally.failures.push({ item, error, attempts, state: failed.state })
  }

  /** At once, behind nothing, and whatever `onExhausted` says: what follows in its lane waits until a person has decided. */
  #holdLate(tally: Tally, state: PartitionState, item: Item, error: OnefoldError): void {
    const { envelope, lane, delivery } = item
    const reason = lateMessage(error)
    tally.parked.push({ envelope, state: 'attention', attempts: 0, crashes: 0, dueMs: 0, reason, lane, offset: delivery.offset })
    if (lane !== undefined) tally.held = (tally.held ?? new Set(state.held)).add(lane)
    tally.failures.push({ item, error, attempts: 0, state: 'attention' })
  }

  async #parkAll(session: Session<unknown>, state: PartitionState, tally: Tally): Promise<void> {
    if (tally.parked.length === 0) return
    state.parkedMore = true
    await session.parked.park(this.#context.subscription, state.partition, tally.parked, this.#context.runtime.wallMs())
  }

  async #finish(session: Session<unknown>, state: PartitionState, items: readonly Item[], tally: Tally): Promise<Tally> {
    const { subscription, runtime } = this.#context
    await session.checkpoints.advance(subscription, state.partition, {
      offset: items[tally.done - 1]?.delivery.offset,
      applied: tally.applied,
      suppressed: tally.suppressed,
    })
    const checkpointed = runtime.reached?.('consume:checkpointed')
    if (checkpointed !== undefined) await checkpointed
    return tally
  }

  #adopt(state: PartitionState, tally: Tally): void {
    if (tally.held !== undefined) state.held = tally.held
    for (const { item, error, attempts, state: became } of tally.failures)
      reportFailure(this.#context, state.partition, item, error, attempts, became)
  }
}
