/**
 * What each action on an attention item will do, or why it is refused. A pure decision: `show` previews with it, and the
 * transaction that acts decides by it again, so the two cannot drift apart.
 */
import type { CallRecord } from '../calls/call-store.ts'
import * as say from './action-sentences.ts'
import type { AttentionItem } from './attention-store.ts'
import type { CallConsequence } from './call-fate.ts'
import { fateAfterEdit, fateOf, isResultLost, isUnsettled } from './call-fate.ts'
import type { SettleAs, Situation } from './situation.ts'

/**
 * closed: somebody had acted already · late-message: it may have been applied before, which a new attempt cannot repair ·
 * call-unsettled: a call may have happened, and only a person can say · result-missing: a call happened, its result is lost ·
 * known-to-have-happened · owner-alive: the request may be under way · nothing-to-settle, which-call, no-such-call ·
 * not-for-late: a late message is settled as a whole.
 */
export type ActionRefusal =
  | 'closed'
  | 'late-message'
  | 'call-unsettled'
  | 'result-missing'
  | 'known-to-have-happened'
  | 'owner-alive'
  | 'nothing-to-settle'
  | 'which-call'
  | 'no-such-call'
  | 'not-for-late'

/** What the person has to say as well before it is done. */
export interface Confirmation {
  readonly option: 'callsStand' | 'ownerIsGone'
  readonly sentence: string
}

export type PossibleAction =
  | {
      readonly possible: true
      /** What will happen, for a reader who sees this for the first time. */
      readonly sentence: string
      readonly calls: readonly CallConsequence[]
      readonly confirm?: Confirmation
    }
  | {
      readonly possible: false
      readonly why: ActionRefusal
      /** Why not, and what to do instead. */
      readonly sentence: string
      readonly calls: readonly CallConsequence[]
    }

export interface PossibleSettlement {
  /** Undefined for a late message, which is settled as a whole. */
  readonly call: string | undefined
  readonly as: SettleAs
  readonly action: PossibleAction
}

export interface PossibleActions {
  readonly redrive: PossibleAction
  readonly edit: PossibleAction
  readonly discard: PossibleAction
  /** Each outcome of each call that is unsettled. */
  readonly settle: readonly PossibleSettlement[]
}

export function possibleActions(situation: Situation): PossibleActions {
  const { item, calls } = situation
  const outcomes: readonly SettleAs[] = ['happened', 'did-not-happen', 'voided']
  const names = item.kind === 'late-message' ? [undefined] : calls.filter(isUnsettled).map(({ name }) => name)
  return {
    redrive: redriveOf(situation),
    edit: editOf(situation),
    discard: discardOf(situation),
    settle: names.flatMap((call) =>
      outcomes
        .filter((as) => call !== undefined || as !== 'voided')
        .map((as) => ({ call, as, action: settleOf(situation, { call, as }) })),
    ),
  }
}

export function redriveOf(situation: Situation): PossibleAction {
  const { item, calls } = situation
  const consequences = calls.map((record) => ({ call: record.name, round: record.round, fate: fateOf(record) }))
  const refused = closed(item) ?? late(item) ?? needsPerson(situation, calls)
  if (refused !== undefined) return { possible: false, ...refused, calls: consequences }
  return { possible: true, sentence: say.redrive(situation, consequences), calls: consequences }
}

export function editOf(situation: Situation): PossibleAction {
  const { item, calls } = situation
  const consequences = calls.map((record) => ({ call: record.name, round: record.round, fate: fateAfterEdit(record) }))
  const open = calls.find(isUnsettled)
  const unsettled =
    open === undefined ? undefined : { why: 'call-unsettled' as const, sentence: say.settleBeforeEdit(situation, open) }
  const refused = closed(item) ?? late(item) ?? unsettled
  if (refused !== undefined) return { possible: false, ...refused, calls: consequences }
  return { possible: true, sentence: say.edit(situation, consequences), calls: consequences }
}

export function discardOf(situation: Situation): PossibleAction {
  const { item, calls } = situation
  const standing = calls.filter((record) => record.state === 'happened' || isUnsettled(record))
  const consequences = standing.map(({ name, round }) => ({ call: name, round, fate: 'stands' as const }))
  const refused = closed(item)
  if (refused !== undefined) return { possible: false, ...refused, calls: consequences }
  const sentence = say.discard(situation)
  if (standing.length === 0) return { possible: true, sentence, calls: [] }
  const confirm = { option: 'callsStand' as const, sentence: say.callsWouldStand(situation, standing) }
  return { possible: true, sentence, calls: consequences, confirm }
}

/** `call` may be left out when only one is unsettled, and must be for a late message. */
export function settleOf(
  situation: Situation,
  { call, as }: { readonly call: string | undefined; readonly as: SettleAs },
): PossibleAction {
  const { item, calls } = situation
  const refuse = (why: ActionRefusal, sentence: string): PossibleAction => ({ possible: false, why, sentence, calls: [] })
  const done = closed(item)
  if (done !== undefined) return refuse(done.why, done.sentence)
  if (item.kind === 'late-message') {
    if (call !== undefined || as === 'voided') return refuse('not-for-late', say.settleAsAWhole())
    return { possible: true, sentence: say.settleLate(situation, as), calls: [] }
  }
  const record = callToSettle(calls, call)
  if (record === undefined) return refuse(...whyNoCall(calls, call))
  if (!isUnsettled(record)) return refuse('closed', say.settledAlready(record))
  const rest = calls.filter((other) => other !== record && isUnsettled(other))
  const consequences = [{ call: record.name, round: record.round, fate: fateWhenSettled(as) }]
  const sentence = say.settle(situation, record, as, rest)
  if (as === 'happened') return { possible: true, sentence, calls: consequences }
  if (isResultLost(record)) return refuse('known-to-have-happened', say.resultLost(situation, record))
  const owner = record.state === 'intent' ? situation.isAlive(record.process) : 'dead'
  if (owner === 'alive') return refuse('owner-alive', say.ownerAlive(situation, record))
  if (owner === 'dead') return { possible: true, sentence, calls: consequences }
  const confirm = { option: 'ownerIsGone' as const, sentence: say.ownerUnseen(situation, record) }
  return { possible: true, sentence, calls: consequences, confirm }
}

/** The call that is meant: the one named, or the only one it can be. */
export function callToSettle(calls: readonly CallRecord[], call: string | undefined): CallRecord | undefined {
  if (call !== undefined) return calls.find(({ name }) => name === call)
  const unsettled = calls.filter(isUnsettled)
  if (unsettled.length > 0) return unsettled.length === 1 ? unsettled[0] : undefined
  // A second click, after the only one has been settled.
  return calls.find(({ settledBy }) => settledBy !== undefined && settledBy !== 'call' && settledBy !== 'probe')
}

function whyNoCall(calls: readonly CallRecord[], call: string | undefined): [ActionRefusal, string] {
  if (call !== undefined) return ['no-such-call', say.noSuchCall(call, calls)]
  const unsettled = calls.filter(isUnsettled)
  if (unsettled.length > 1) return ['which-call', say.whichCall(unsettled)]
  return ['nothing-to-settle', say.nothingToSettle()]
}

function fateWhenSettled(as: SettleAs): CallConsequence['fate'] {
  if (as === 'happened') return 'stands'
  return as === 'voided' ? 'new-token' : 'same-token'
}

interface Refused {
  readonly why: ActionRefusal
  readonly sentence: string
}

function closed(item: AttentionItem): Refused | undefined {
  return item.state === 'open' ? undefined : { why: 'closed', sentence: say.closed(item) }
}

function late(item: AttentionItem): Refused | undefined {
  return item.kind === 'late-message' ? { why: 'late-message', sentence: say.lateMessage() } : undefined
}

function needsPerson(situation: Situation, calls: readonly CallRecord[]): Refused | undefined {
  const lost = calls.find(isResultLost)
  if (lost !== undefined) return { why: 'result-missing', sentence: say.resultLost(situation, lost) }
  const unsettled = calls.find((record) => fateOf(record) === 'needs-person')
  if (unsettled === undefined) return undefined
  return { why: 'call-unsettled', sentence: say.settleFirst(situation, unsettled) }
}
