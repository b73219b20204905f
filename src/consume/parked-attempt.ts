import type { Session } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import type { Awaitable } from '../message.ts'
import { isThenable } from '../message.ts'
import type { ApplyHandler, CallValues } from './apply-handler.ts'
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
  laneWhenParked,
  reportFailure,
} from './failure.ts'
import type { Item } from './item.ts'
import { toItems } from './item.ts'
import type { FailedTurn, ParkedMessage } from './parked-store.ts'

/** A parked message whose time has come. */
export interface Turn {
  readonly row: bigint
  /** As the row said when the turn began. */
  readonly before: FailedTurn['before']
  readonly item: Item
  /** This attempt's number. */
  readonly attempts: number
  readonly crashes: number
  /** Behind a durable start mark, which the commit that ends the turn removes. */
  readonly marked: boolean
}

/** What else belongs into the commit that ends a turn. */
export type RecordInCommit = (session: Session<unknown>) => Awaitable<void>

/** An attempt of a parked message: it ends in one commit, with the message applied and gone, or kept for later or a person. */
export class ParkedAttempt {
  readonly #context: ConsumerContext
  readonly #handler: ApplyHandler

  constructor(context: ConsumerContext, handler: ApplyHandler) {
    this.#context = context
    this.#handler = handler
  }

  /** Undefined when there is nothing to attempt: it cannot be read, or it has killed its process too often. */
  async begin(
    state: PartitionState,
    row: ParkedMessage & { lane: string | undefined },
    options: { readonly marked: boolean },
  ): Promise<Turn | undefined> {
    const { subscription, topic, settings } = this.#context
    const [decoded] = await toItems(topic, [{ envelope: row.envelope, redelivered: true }])
    if (decoded === undefined) return undefined
    const item: Item = { ...decoded, lane: row.lane }
    let { crashes } = row
    if (options.marked) {
      crashes =
        (await commitUnderLease(this.#context, state, (session) =>
          session.startMarks.begin(subscription, state.partition, item.identity, state.lease),
        )) - 1
    }
    const turn: Turn = { row: row.row, before: row, item, attempts: row.attempts + 1, crashes, marked: options.marked }
    const hopeless = item.invalid ?? (crashes >= settings.maxCrashes ? crashed(item, crashes) : undefined)
    if (hopeless === undefined) return turn
    await this.fail(state, turn, hopeless, {
      step: { step: 'park', state: 'attention', dueMs: 0, reason: deadLetter(hopeless) },
    })
    return undefined
  }

  /** Applies it, or keeps it when that fails. `record` is committed in either case. */
  async apply(
    state: PartitionState,
    turn: Turn,
    options: { readonly calls?: CallValues; readonly record?: RecordInCommit } = {},
  ): Promise<void> {
    const { subscription, runtime } = this.#context
    const { row, item, attempts } = turn
    let failure: { readonly error: unknown; readonly step: ParkStep } | undefined
    try {
      const work = async (session: Session<unknown>): Promise<void> => {
        failure = undefined
        let applied = 0
        await options.record?.(session)
        try {
          await session.savepoint(async () => {
            // Gone: discarded by a person since it was read. Nothing to do, and nothing may be done.
            if (!(await session.parked.done(row, runtime.wallMs()))) return
            const ran = this.#handler.run(session, state, [item], attempts, undefined, options.calls)
            if (isThenable(ran)) await ran
            applied = 1
          })
        } catch (caught) {
          if (isInfrastructure(caught) || isBlamed(caught)) throw caught
          // What `record` has written must not go with it.
          if (isStopped(caught)) await this.#return(session, turn)
          else {
            const error = caught ?? new Error(String(caught))
            failure = { error, step: this.#stepAfter(error, turn) }
            await this.#keep(session, turn, error, failure.step)
          }
        }
        await session.checkpoints.advance(subscription, state.partition, { applied, suppressed: 0 })
        await this.#end(session, state, turn)
      }
      await commitUnderLease(this.#context, state, work, { handsOutTx: true })
    } catch (error) {
      if (!isBlamed(error)) throw error
      await this.fail(state, turn, error, options)
      return
    }
    if (failure !== undefined) reportFailure(this.#context, state.partition, item, failure.error, attempts, failure.step.state)
  }

  /** Ends the turn without running the handler; without `step` as after any failed attempt. */
  async fail(
    state: PartitionState,
    turn: Turn,
    error: unknown,
    options: { readonly step?: ParkStep | undefined; readonly record?: RecordInCommit } = {},
  ): Promise<void> {
    const step = options.step ?? this.#stepAfter(error, turn)
    await commitUnderLease(this.#context, state, async (session) => {
      await options.record?.(session)
      await this.#keep(session, turn, error, step)
      await this.#end(session, state, turn)
    })
    reportFailure(this.#context, state.partition, turn.item, error, turn.attempts, step.state)
  }

  /** Takes the turn back: what stopped it says nothing about the message, so the attempt does not count. */
  async giveBack(state: PartitionState, turn: Turn, options: { readonly record?: RecordInCommit } = {}): Promise<void> {
    await commitUnderLease(this.#context, state, async (session) => {
      await options.record?.(session)
      await this.#return(session, turn)
      await this.#end(session, state, turn)
    })
  }

  async #return(session: Session<unknown>, { row, before, attempts, crashes }: Turn): Promise<void> {
    const nowMs = this.#context.runtime.wallMs()
    const change = {
      state: 'waiting',
      before,
      attempts: attempts - 1,
      crashes,
      dueMs: nowMs,
      release: false,
    } as const
    await session.parked.failed(row, change, nowMs)
  }

  /** The row is no longer there: a person, or an erasure, has taken it away. */
  async gone(state: PartitionState, turn: Turn): Promise<void> {
    await commitUnderLease(this.#context, state, (session) => this.#end(session, state, turn))
  }

  #stepAfter(error: unknown, { attempts, crashes }: Turn): ParkStep {
    if (crashes >= this.#context.settings.maxCrashes)
      return { step: 'park', state: 'attention', dueMs: 0, reason: deadLetter(error) }
    const failed = afterFailure(this.#context, error, attempts)
    return failed.step === 'park' ? failed : { step: 'park', state: 'waiting', dueMs: this.#context.runtime.wallMs() }
  }

  async #keep(session: Session<unknown>, turn: Turn, error: unknown, step: ParkStep): Promise<void> {
    const nowMs = this.#context.runtime.wallMs()
    const { reason } = step
    await session.parked.failed(
      turn.row,
      {
        state: step.state,
        before: turn.before,
        attempts: turn.attempts,
        crashes: turn.crashes,
        dueMs: step.dueMs,
        ...(reason === undefined ? {} : { reason }),
        failure: attemptRecord(error, turn.attempts, nowMs),
        // Only a dead letter may let its key go: what may or may not have happened holds it, whatever `onExhausted` says.
        release: reason?.kind === 'dead-letter' && laneWhenParked(this.#context, turn.item, 'attention') === undefined,
      },
      nowMs,
    )
  }

  async #end(session: Session<unknown>, state: PartitionState, { item, marked }: Turn): Promise<void> {
    const { subscription } = this.#context
    if (marked) await session.startMarks.clear(subscription, state.partition, item.identity)
    // With turns beside the loop only the table counts. Else one look at this lane: all of them would be too many, each time.
    if (state.turnsBeside || item.lane === undefined) return
    if (!(await session.parked.holds(subscription, state.partition, item.lane))) state.held = without(state.held, item.lane)
  }
}

/** Another set, so that whoever compares sees a change. */
export function without(lanes: ReadonlySet<string>, lane: string): ReadonlySet<string> {
  const rest = new Set(lanes)
  rest.delete(lane)
  return rest
}

function crashed(item: Item, crashes: number): OnefoldError {
  return new OnefoldError(
    'APPLY_CRASHED',
    `the process ended ${crashes} times while message ${item.envelope.id} was running alone.`,
    { details: { id: item.envelope.id, crashes } },
  )
}
