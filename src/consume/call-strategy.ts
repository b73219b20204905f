import type { AnyCall, CallOutcome } from '../call.ts'
import type { CallRecord } from '../calls/call-store.ts'
import { nextCallStep } from '../calls/next-call-step.ts'
import { tokenOf } from '../calls/token.ts'
import { OnefoldError } from '../errors.ts'
import type { ApplyHandler, CallValues } from './apply-handler.ts'
import { ApplyStrategy } from './apply-strategy.ts'
import { CallJournal } from './call-journal.ts'
import type { Answer, Request } from './call-requests.ts'
import { askProbe, makeRequest } from './call-requests.ts'
import { commitUnderLease } from './commit.ts'
import type { Calls } from './consume-options.ts'
import type { ConsumerContext, PartitionState } from './consumer-context.ts'
import { afterUnknown, unknownOutcome } from './failure.ts'
import type { Item } from './item.ts'
import type { Turn } from './parked-attempt.ts'
import { ParkedAttempt } from './parked-attempt.ts'
import type { ParkedMessage } from './parked-store.ts'
import type { Slots } from './slots.ts'
import type { Strategy, TurnsBeside } from './strategy.ts'
import { Lost } from './strategy.ts'

/** How long an answer waits for those of the message's other calls, to share the commit that records it. */
const gatherMs = 50

/**
 * Effectively once, with declared external calls. A message that wants one is parked by the commit that receives it, and
 * then has a turn of its own beside the partition's loop:
 *
 * ```
 *   fenced commit: row 'calling', an intent per call
 *      → the requests, outside any transaction
 *      → fenced commit: outcomes, apply, row gone       or: outcomes, row kept for later or for a person
 * ```
 *
 * Its lane is held all the while, so that messages of one key never overlap; other keys flow.
 */
export class CallStrategy implements Strategy, TurnsBeside {
  readonly waitsOutside = true
  readonly beside = this
  readonly #context: ConsumerContext
  readonly #calls: readonly (readonly [string, AnyCall])[]
  readonly #apply: ApplyStrategy
  readonly #attempt: ParkedAttempt
  readonly #slots: Slots
  readonly #underWay = new Map<string, Set<Promise<void>>>()

  constructor(context: ConsumerContext, handler: ApplyHandler, calls: Calls<unknown>, slots: Slots) {
    this.#context = context
    this.#calls = Object.entries(calls)
    this.#apply = new ApplyStrategy(context, handler, (item) => this.#wantsCalls(item))
    this.#attempt = new ParkedAttempt(context, handler)
    this.#slots = slots
  }

  get takesMore(): boolean {
    return this.#slots.free > 0
  }

  /** Only the journal knows how far the calls of an earlier owner came; their messages are due again. */
  async assigned(state: PartitionState): Promise<void> {
    const { subscription, runtime } = this.#context
    await commitUnderLease(this.#context, state, (session) =>
      session.parked.reclaim(subscription, state.partition, runtime.wallMs()),
    )
  }

  underWay(partition: string): number {
    return this.#underWay.get(partition)?.size ?? 0
  }

  async settled(partition: string): Promise<void> {
    await Promise.all(this.#underWay.get(partition) ?? [])
  }

  batch(state: PartitionState, items: readonly Item[]): Promise<void> {
    return this.#apply.batch(state, items)
  }

  suspect(state: PartitionState, item: Item): Promise<void> {
    return this.#apply.suspect(state, item)
  }

  /** Returns when those it took are marked as under way; their ends come later. A marked one is waited for. */
  async parked(state: PartitionState, options: { readonly marked: boolean }): Promise<boolean> {
    const { database, subscription, runtime } = this.#context
    if (options.marked) await this.settled(state.partition)
    const limit = options.marked ? 1 : this.#slots.free
    const rows = await database.read((stores) => stores.parked.due(subscription, state.partition, runtime.wallMs(), limit))
    const begun: Promise<void>[] = []
    for (const row of rows) {
      if (!this.#slots.tryTake()) break
      begun.push(this.#start(state, row, options))
    }
    await Promise.all(begun)
    if (options.marked) await this.settled(state.partition)
    return begun.length > 0
  }

  /** Resolves once the row is no longer due: its turn is recorded, or over. */
  #start(
    state: PartitionState,
    row: ParkedMessage & { lane: string | undefined },
    options: { readonly marked: boolean },
  ): Promise<void> {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    let running = this.#underWay.get(state.partition)
    if (running === undefined) {
      running = new Set()
      this.#underWay.set(state.partition, running)
    }
    const turns = running
    const turn = this.#turn(state, row, options, begin)
      .catch((error) => state.fail(error))
      .finally(() => {
        turns.delete(turn)
        begin()
        this.#slots.give()
      })
    turns.add(turn)
    return begun
  }

  /** A `when` that throws fails the attempt, not the batch. */
  #wantsCalls(item: Item): boolean {
    try {
      return this.#calls.some(([, { when }]) => when === undefined || when(item.data))
    } catch {
      return true
    }
  }

  async #turn(
    state: PartitionState,
    row: ParkedMessage & { lane: string | undefined },
    options: { readonly marked: boolean },
    begin: () => void,
  ): Promise<void> {
    const turn = await this.#attempt.begin(state, row, options)
    if (turn === undefined) return
    const { database, subscription } = this.#context
    // A journal that cannot be read is no failure of the message.
    const records = await database.read((stores) => stores.calls.get(subscription, turn.item.identity))
    let plan: Plan
    try {
      plan = this.#plan(turn.item, records)
    } catch (error) {
      await this.#attempt.fail(state, turn, error)
      return
    }
    const [asked] = plan.person
    if (asked !== undefined) {
      await this.#unknown(state, turn, new CallJournal(this.#context, turn.item), [asked])
      return
    }
    await this.#carryOut(state, turn, plan, begin)
  }

  /** What the journal and the rules say to do about each call. */
  #plan({ data, identity, envelope }: Item, records: readonly CallRecord[]): Plan {
    const plan: Plan = { outcomes: new Map(), requests: [], probes: [], person: [] }
    for (const [name, call] of this.#calls) {
      const record = records.find((one) => one.name === name)
      // What may have happened is settled even if it would no longer be asked for.
      const wanted = isOpen(record) || call.when === undefined || call.when(data)
      const step = wanted ? nextCallStep(call, record) : ({ step: 'settled', outcome: { status: 'skipped' } } as const)
      if (step.step === 'settled') plan.outcomes.set(name, step.outcome)
      else if (step.step === 'person') {
        const error = new OnefoldError(
          'CALL_UNKNOWN',
          `call ${name} of message ${envelope.id}: ${step.error.message}. It may have happened, and its rule leaves that to a person.`,
          { outcome: 'unknown', retry: 'never', details: { call: name, id: envelope.id } },
        )
        plan.person.push({ name, error, always: true })
      } else {
        const token = step.step === 'probe' ? step.token : this.#token(identity, name, step.round)
        // A probe's 'did-not-happen' may only mean that a request on its way will do no harm.
        const repeats = isOpen(record) || (record?.state === 'did-not-happen' && record.settledBy === 'probe')
        const request = { name, call, round: step.round, token, repeats }
        if (step.step === 'probe') plan.probes.push(request)
        else plan.requests.push(request)
      }
    }
    return plan
  }

  async #carryOut(state: PartitionState, turn: Turn, plan: Plan, begin: () => void): Promise<void> {
    const { runtime, ownership } = this.#context
    const { item } = turn
    const journal = new CallJournal(this.#context, item)
    if (plan.probes.length > 0) {
      const there = await commitUnderLease(this.#context, state, (session) => session.parked.call(turn.row))
      if (!there) return await this.#attempt.gone(state, turn)
      begin()
      const unknown = await this.#probe(state, turn, plan, journal)
      if (unknown.length > 0) {
        await this.#unknown(state, turn, journal, unknown)
        return
      }
    }
    if (plan.requests.length > 0) {
      const intendedMs = runtime.monotonicMs()
      const there = await commitUnderLease(this.#context, state, async (session) => {
        // Again, also after a probe: the message may have been erased while it was asked.
        if (!(await session.parked.call(turn.row))) return false
        await journal.record(session)
        await journal.intend(session, state.lease, plan.requests)
        return true
      })
      if (!there) return await this.#attempt.gone(state, turn)
      journal.recorded()
      begin()
      const intended = runtime.reached?.('call:intended')
      if (intended !== undefined) await intended
      // A process that was frozen here has probably been taken over. Safety does not need this look; it spares a repeat.
      if (runtime.monotonicMs() - intendedMs > ownership.leaseMs / 2 && !(await ownership.holds(state.lease)))
        throw new Lost('taken over before the request was made')
      const answers = await this.#request(state, turn, plan.requests, journal)
      const unknown = [...answers].flatMap(([name, answer]) =>
        answer.settlement.state === 'unknown' ? [this.#unanswered(item, plan, name, answer)] : [],
      )
      if (unknown.length > 0) {
        await this.#unknown(state, turn, journal, unknown)
        return
      }
      for (const { name, call } of plan.requests) {
        const answer = answers.get(name)
        if (answer?.settlement.state === 'failed' && call.whenFailed === 'fail-attempt') {
          await this.#attempt.fail(state, turn, answer.error, { record: (session) => journal.record(session) })
          return
        }
        if (answer !== undefined) plan.outcomes.set(name, journal.outcome(name))
      }
    }
    await this.#attempt.apply(state, turn, {
      calls: this.#values(plan.outcomes),
      record: (session) => journal.record(session),
    })
  }

  /** Asks about what is unknown; what is now known moves on in the plan. Answers what is not. */
  async #probe(state: PartitionState, turn: Turn, plan: Plan, journal: CallJournal): Promise<Unknown[]> {
    const unknown: Unknown[] = []
    await Promise.all(
      plan.probes.map(async (probe) => {
        const answer = await askProbe(this.#context, turn.item, probe, { outer: state.handlers })
        const { name } = probe
        if (answer.settlement.state === 'unknown') {
          unknown.push(this.#unanswered(turn.item, plan, name, answer))
          return
        }
        journal.settle(probe, answer.settlement, 'probe')
        if (answer.settlement.state === 'happened') plan.outcomes.set(name, journal.outcome(name))
        else {
          const repeats = answer.settlement.state !== 'voided'
          const round = repeats ? probe.round : probe.round + 1
          plan.requests.push({ ...probe, repeats, round, token: this.#token(turn.item.identity, name, round) })
        }
      }),
    )
    return unknown
  }

  /** All of them at the same time. Answers that come long before the others are recorded on the way. */
  async #request(
    state: PartitionState,
    turn: Turn,
    requests: readonly Request[],
    journal: CallJournal,
  ): Promise<ReadonlyMap<string, Answer>> {
    const { runtime } = this.#context
    const answers = new Map<string, Answer>()
    let arrived = Promise.withResolvers<void>()
    const all = Promise.all(
      requests.map(async (request) => {
        const answer = await makeRequest(this.#context, turn.item, request, { attempt: turn.attempts, outer: state.handlers })
        answers.set(request.name, answer)
        journal.settle(request, answer.settlement, 'call')
        arrived.resolve()
      }),
    )
    while (answers.size < requests.length) {
      await Promise.race([all, arrived.promise])
      if (answers.size === requests.length) break
      const gathered = new AbortController()
      await Promise.race([all, runtime.sleep(gatherMs, gathered.signal)])
      gathered.abort()
      if (answers.size === requests.length) break
      arrived = Promise.withResolvers()
      await commitUnderLease(this.#context, state, (session) => journal.record(session))
      journal.recorded()
      const journaled = runtime.reached?.('call:journaled')
      if (journaled !== undefined) await journaled
    }
    const answered = runtime.reached?.('call:answered')
    if (answered !== undefined) await answered
    return answers
  }

  /** Ends a turn that leaves an outcome unknown. */
  async #unknown(state: PartitionState, turn: Turn, journal: CallJournal, unknown: readonly Unknown[]): Promise<void> {
    const record = journal.record.bind(journal)
    // What only a person can settle comes first: nothing else can go on without it.
    const { name, error, always, stopped } = unknown.find((one) => one.always) ?? (unknown[0] as Unknown)
    const reason = unknownOutcome(error, name)
    if (always)
      await this.#attempt.fail(state, turn, error, { step: { step: 'park', state: 'attention', dueMs: 0, reason }, record })
    else if (stopped === true) await this.#attempt.giveBack(state, turn, { record })
    else {
      const step = afterUnknown(this.#context, error, turn.attempts, reason)
      await this.#attempt.fail(state, turn, error, { step, record })
    }
  }

  #unanswered(item: Item, plan: Plan, name: string, answer: Answer): Unknown {
    const call = [...plan.requests, ...plan.probes].find((one) => one.name === name)?.call
    const record = 'error' in answer.settlement ? answer.settlement.error : undefined
    const always = call?.rule === 'ask-person' || record?.code === 'CALL_RESULT_INVALID'
    const error = new OnefoldError(
      record?.code === 'CALL_RESULT_INVALID' ? 'CALL_RESULT_INVALID' : 'CALL_UNKNOWN',
      `call ${name} of message ${item.envelope.id}: ${record?.message ?? 'no answer'}`,
      {
        outcome: 'unknown',
        retry: always ? 'never' : 'later',
        cause: answer.error,
        details: { call: name, id: item.envelope.id },
      },
    )
    return { name, error, always, stopped: answer.stopped === true }
  }

  #values(outcomes: ReadonlyMap<string, CallOutcome<unknown>>): CallValues {
    return Object.freeze(
      Object.fromEntries(
        this.#calls.map(([name, call]) => {
          const outcome = outcomes.get(name)
          return [name, call.whenFailed === 'apply' ? outcome : outcome?.result]
        }),
      ),
    )
  }

  #token(identity: string, name: string, round: number): string {
    const { topic, group } = this.#context.subscription
    return tokenOf(topic, group, identity, { name, round })
  }
}

interface Plan {
  /** Settled: what `apply` gets. */
  readonly outcomes: Map<string, CallOutcome<unknown>>
  readonly requests: Request[]
  readonly probes: Request[]
  readonly person: Unknown[]
}

interface Unknown {
  readonly name: string
  readonly error: OnefoldError
  /** A person must settle it: no attempt will. */
  readonly always: boolean
  readonly stopped?: boolean
}

function isOpen(record: CallRecord | undefined): boolean {
  return record?.state === 'intent' || record?.state === 'unknown'
}
