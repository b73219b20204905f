import type { Session } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable } from '../message.ts'
import { isThenable } from '../message.ts'
import type { ApplyHandler } from './apply-handler.ts'
import { commitUnderLease } from './commit.ts'
import type { ConsumerContext, Outgoing, PartitionState } from './consumer-context.ts'
import { afterFailure, deadLetter, isInfrastructure, laneWhenParked, reportFailure, toBehind, toParked } from './failure.ts'
import type { Item } from './item.ts'
import { toItems } from './item.ts'
import type { NewParked, ParkedMessage } from './parked-store.ts'
import type { Strategy } from './strategy.ts'
import { PublishRefused } from './strategy.ts'

/** A batch's transaction is committed after this long even when messages are left: others want the lock too. */
const commitAfterMs = 30
/** Up to this many share a commit with other partitions' without ado. */
const fewMessages = 16
/** Identities are recorded this many at a time, so that those not reached are not recorded. */
const claimSlice = 64

/** What one transaction did; adopted only once it has committed. */
interface Tally {
  done: number
  applied: number
  suppressed: number
  held: Set<string> | undefined
  /** What handlers published, to be written before COMMIT. Undefined: each message writes its own. */
  outgoing?: Outgoing[]
  readonly parked: NewParked[]
  readonly failures: {
    readonly item: Item
    readonly error: unknown
    readonly attempts: number
    readonly state: 'waiting' | 'attention'
  }[]
}

/** Effectively once: the check, the effect, what it publishes and the proof commit together. */
export class ApplyStrategy implements Strategy {
  readonly #context: ConsumerContext
  readonly #handler: ApplyHandler

  constructor(context: ConsumerContext, handler: ApplyHandler) {
    this.#context = context
    this.#handler = handler
  }

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
          { nested: rest.length > fewMessages },
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
      session.startMarks.begin(subscription, state.partition, item.identity),
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
    const { database, subscription, runtime, topic } = this.#context
    const [row] = await database.read((stores) => stores.parked.due(subscription, state.partition, runtime.wallMs(), 1))
    if (row === undefined) return false
    const [item] = await toItems(topic, [{ envelope: row.envelope, redelivered: true }])
    if (item !== undefined) await this.#parkedOne(state, row, { ...item, lane: row.lane }, options.marked)
    return true
  }

  /** In a transaction of its own, shared with nobody. */
  async #alone(state: PartitionState, item: Item, mark?: string): Promise<void> {
    try {
      const tally = await commitUnderLease(
        this.#context,
        state,
        (session) => this.#transaction(session, state, [item], { together: false, mark }),
        {
          alone: true,
        },
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
      const { fresh, ...rest } = await this.#begin(session, state, [item])
      for (const one of fresh) {
        if (one.lane !== undefined && (rest.held ?? state.held).has(one.lane)) rest.parked.push(toBehind(one))
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
    const { runtime, claims } = this.#context
    const startedMs = runtime.monotonicMs()
    const late = (): boolean => runtime.monotonicMs() - startedMs > commitAfterMs
    const total = emptyTally()
    const size = claims ? claimSlice : items.length
    while (total.done < items.length && (total.done === 0 || !late())) {
      const slice = items.slice(total.done, total.done + size)
      const view: PartitionState = { ...state, held: total.held ?? state.held }
      const { fresh, ...tally } = await this.#begin(session, view, slice)
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
      add(total, tally)
    }
    if (total.outgoing !== undefined && total.outgoing.length > 0) {
      const refused = await this.#context.emit(session, total.outgoing)
      if (refused !== undefined) throw new PublishRefused(refused.message)
    }
    if (mark !== undefined) await session.startMarks.clear(this.#context.subscription, state.partition, mark)
    return this.#finish(session, state, items, total)
  }

  /** Which of these are to be applied now? What was received before, or waits behind a parked message, is not. */
  async #begin(session: Session<unknown>, state: PartitionState, items: readonly Item[]): Promise<Tally & { fresh: Item[] }> {
    const { subscription, claims, topic } = this.#context
    const tally: Tally & { fresh: Item[] } = { ...emptyTally(), done: items.length, fresh: [] }
    const checkpoint = await session.checkpoints.get(subscription, state.partition)
    const beyond = items.filter(
      ({ delivery }) => delivery.offset === undefined || checkpoint === undefined || delivery.offset > checkpoint,
    )
    tally.suppressed += items.length - beyond.length
    const statuses =
      claims && beyond.length > 0
        ? await session.inbox.claim(
            subscription,
            beyond.map((item) => item.envelope),
          )
        : undefined
    // A person may have let a lane go meanwhile: what the table says inside this transaction counts.
    if (state.held.size > 0) tally.held = new Set(await session.parked.heldLanes(subscription, state.partition))
    for (let index = 0; index < beyond.length; index++) {
      const item = beyond[index] as Item
      const status = statuses?.[index] ?? 'new'
      if (status instanceof OnefoldError) tally.fresh.push({ ...item, invalid: status })
      else if (status === 'seen' || (status === 'id-reused' && topic.settings.idReuse === 'ignore')) tally.suppressed++
      else if (status === 'id-reused') {
        const error = new OnefoldError(
          'ID_REUSED',
          `message ${item.envelope.id} of topic ${topic.name} (source ${item.envelope.source}) was received before with other data.`,
          {
            details: { topic: topic.name, id: item.envelope.id, source: item.envelope.source },
          },
        )
        tally.fresh.push({ ...item, invalid: error })
      } else tally.fresh.push(item)
    }
    return tally
  }

  #one(session: Session<unknown>, state: PartitionState, item: Item, tally: Tally, attempt: number): Awaitable<void> {
    if (item.lane !== undefined && (tally.held ?? state.held).has(item.lane)) {
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
    const together = fresh.filter(
      (item) => item.invalid === undefined && !(item.lane !== undefined && (tally.held ?? state.held).has(item.lane)),
    )
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
    if (failed.step === 'again-inline') return false
    this.#park(tally, item, failed, attempts, error)
    return true
  }

  #park(tally: Tally, item: Item, failed: Parameters<typeof toParked>[2], attempts: number, error: unknown, crashes = 0): void {
    const parked = toParked(this.#context, item, failed, attempts, crashes)
    tally.parked.push(parked)
    if (parked.lane !== undefined) tally.held = (tally.held ?? new Set()).add(parked.lane)
    tally.failures.push({ item, error, attempts, state: failed.state })
  }

  async #parkAll(session: Session<unknown>, state: PartitionState, tally: Tally): Promise<void> {
    if (tally.parked.length > 0)
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

  async #parkedOne(
    state: PartitionState,
    row: ParkedMessage & { lane: string | undefined },
    item: Item,
    marked: boolean,
  ): Promise<void> {
    const { subscription, runtime, settings } = this.#context
    const attempts = row.attempts + 1
    let crashes = row.crashes
    if (marked) {
      crashes =
        (await commitUnderLease(this.#context, state, (session) =>
          session.startMarks.begin(subscription, state.partition, item.identity),
        )) - 1
    }
    let failure: unknown
    const finish = async (session: Session<unknown>, error: unknown): Promise<void> => {
      if (marked) await session.startMarks.clear(subscription, state.partition, item.identity)
      if (error !== undefined) {
        const failed = afterFailure(this.#context, error, attempts)
        const dead = failed.step === 'park' && failed.state === 'attention' ? failed : undefined
        const final = crashes >= settings.maxCrashes || item.invalid !== undefined ? { reason: deadLetter(error) } : dead
        await session.parked.failed(
          row.row,
          {
            state: final === undefined ? 'waiting' : 'attention',
            attempts,
            crashes,
            dueMs: failed.step === 'park' ? failed.dueMs : runtime.wallMs(),
            ...(final === undefined ? {} : { reason: final.reason }),
            release: final !== undefined && laneWhenParked(this.#context, item, 'attention') === undefined,
          },
          runtime.wallMs(),
        )
        failure = { error, final: final !== undefined }
      }
      state.held = new Set(await session.parked.heldLanes(subscription, state.partition))
    }
    try {
      if (item.invalid !== undefined) throw item.invalid
      if (crashes >= settings.maxCrashes) {
        throw new OnefoldError(
          'APPLY_CRASHED',
          `the process ended ${crashes} times while message ${item.envelope.id} was running alone.`,
          { details: { id: item.envelope.id, crashes } },
        )
      }
      await commitUnderLease(this.#context, state, async (session) => {
        failure = undefined
        let error: unknown
        let applied = 0
        try {
          await session.savepoint(async () => {
            // Gone: discarded by a person since it was read. Nothing to do, and nothing may be done.
            if (!(await session.parked.done(row.row, runtime.wallMs()))) return
            const ran = this.#handler.run(session, state, [item], attempts)
            if (isThenable(ran)) await ran
            applied = 1
          })
        } catch (caught) {
          if (isInfrastructure(caught) || isBlamed(caught) || isStopped(caught)) throw caught
          error = caught ?? new Error(String(caught))
        }
        await session.checkpoints.advance(subscription, state.partition, { applied, suppressed: 0 })
        await finish(session, error)
      })
    } catch (error) {
      if (!isBlamed(error) && error !== item.invalid) throw error
      await commitUnderLease(this.#context, state, (session) => finish(session, error))
    }
    if (failure !== undefined) {
      const { error, final } = failure as { error: unknown; final: boolean }
      reportFailure(this.#context, state.partition, item, error, attempts, final ? 'attention' : 'waiting')
    }
  }
}

function emptyTally(): Tally {
  return { done: 0, applied: 0, suppressed: 0, held: undefined, parked: [], failures: [] }
}

function add(total: Tally, tally: Tally): void {
  total.done += tally.done
  total.applied += tally.applied
  total.suppressed += tally.suppressed
  total.held = tally.held ?? total.held
  total.parked.push(...tally.parked)
  total.failures.push(...tally.failures)
}

/** What a message, and nobody else, is to blame for although its savepoint could not contain it. */
function isBlamed(error: unknown): boolean {
  return (
    error instanceof OnefoldError &&
    (error.code === 'TRANSACTION_ENDED' || error.code === 'COMMIT_REFUSED' || error.code === 'APPLY_CRASHED') &&
    !isInfrastructure(error)
  )
}

/** Told to stop, not failed: it is attempted again elsewhere, and the attempt does not count. */
function isStopped(error: unknown): boolean {
  return error instanceof OnefoldError && error.code === 'ABORTED'
}
