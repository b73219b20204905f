/** One action on one item, inside one transaction: decided again by what is there now, done, and recorded. */
import { isDeepStrictEqual } from 'node:util'
import type { Stores } from '../database/database.ts'
import { identityOf } from '../message.ts'
import { parseJson } from '../parse-json.ts'
import type { Runtime } from '../runtime.ts'
import { dataUnchanged, notParked } from './action-sentences.ts'
import type { AuditEntry } from './attention-store.ts'
import { isUnsettled } from './call-fate.ts'
import type { ActionRefusal, PossibleAction } from './possible-actions.ts'
import { callToSettle, discardOf, editOf, redriveOf, settleOf } from './possible-actions.ts'
import type { SettleAs, Situation } from './situation.ts'
import { situationOf } from './situation.ts'

export type Act =
  | { readonly action: 'redrive'; readonly by: string | undefined; readonly reason: string | undefined }
  | { readonly action: 'discard'; readonly by: string; readonly reason: string; readonly callsStand: boolean }
  | { readonly action: 'edit'; readonly by: string; readonly reason: string | undefined; readonly json: string }
  | {
      readonly action: 'settle'
      readonly by: string
      readonly reason: string | undefined
      readonly call: string | undefined
      readonly as: SettleAs
      /** JSON. */
      readonly result: string | undefined
      readonly ownerIsGone: boolean
    }

export interface Refused {
  readonly why: ActionRefusal | 'callsStand' | 'ownerIsGone' | 'data-unchanged' | 'not-parked'
  readonly sentence: string
}

type ActStores = Pick<Stores, 'attention' | 'calls'>

/**
 * 'already': somebody had acted, nothing was changed. Refused: nothing was changed either. The transaction has locked the item
 * (`AttentionStore.lock`): what decides stays as it is until COMMIT.
 */
export async function actOn(
  stores: ActStores,
  id: string,
  act: Act,
  runtime: Pick<Runtime, 'isAlive' | 'wallMs'>,
): Promise<'done' | 'already' | 'not-found' | Refused> {
  const situation = await situationOf(stores, id, runtime)
  if (situation === undefined) return 'not-found'
  const possible = decide(situation, act)
  if (!possible.possible && possible.why === 'closed') return 'already'
  const refused = refusalOf(possible, act)
  if (refused !== undefined) return refused
  return await carryOut(stores, situation, act, possible)
}

/** What is possible, and confirmed where it has to be: undefined. */
export function refusalOf(possible: PossibleAction, act: Act): Refused | undefined {
  if (!possible.possible) return { why: possible.why, sentence: possible.sentence }
  const { confirm } = possible
  if (confirm === undefined) return undefined
  const confirmed = (act.action === 'discard' && act.callsStand) || (act.action === 'settle' && act.ownerIsGone)
  return confirmed ? undefined : { why: confirm.option, sentence: confirm.sentence }
}

export function decide(situation: Situation, act: Act): PossibleAction {
  switch (act.action) {
    case 'redrive':
      return redriveOf(situation)
    case 'discard':
      return discardOf(situation)
    case 'edit':
      return editOf(situation)
    case 'settle':
      return settleOf(situation, act)
  }
}

async function carryOut(
  stores: ActStores,
  situation: Situation,
  act: Act,
  possible: PossibleAction,
): Promise<'done' | 'already' | Refused> {
  const { attention, calls } = stores
  const { item, nowMs } = situation
  const { by, reason } = act
  const record = async (details: unknown): Promise<'done'> => {
    const entry: AuditEntry = { action: act.action, by, reason, atMs: nowMs, details: JSON.stringify(details) }
    await attention.record(item.id, entry)
    return 'done'
  }
  switch (act.action) {
    case 'redrive':
      if (!(await attention.redrive(item.id, by, nowMs, reason))) return 'already'
      return await record({ calls: possible.calls })
    case 'discard':
      if (!(await attention.discard(item.id, act.by, act.reason, nowMs))) return 'already'
      return await record({ calls: possible.calls })
    case 'edit': {
      if (sameJson(item.envelope.json, act.json)) return { why: 'data-unchanged', sentence: dataUnchanged() }
      const revision = { by: act.by, reason, atMs: nowMs, after: act.json }
      if (!(await attention.revise(item.id, revision))) return { why: 'not-parked', sentence: notParked() }
      await attention.redrive(item.id, by, nowMs, reason)
      // The tokens of rounds that failed, or were settled as not having happened, are known to the other side with the old data.
      await calls.renewRounds(item, identityOf(item.envelope))
      return await record({ calls: possible.calls })
    }
    case 'settle':
      return await settle(stores, situation, act, record)
  }
}

async function settle(
  { attention, calls }: ActStores,
  situation: Situation,
  act: Act & { readonly action: 'settle' },
  record: (details: unknown) => Promise<'done'>,
): Promise<'done' | 'already'> {
  const { item, nowMs } = situation
  const { as, by, reason } = act
  if (item.kind === 'late-message') {
    const then = as === 'happened' ? 'put-aside' : 'go-on'
    return (await attention.settle(item.id, then, by, reason, nowMs)) ? await record({ as }) : 'already'
  }
  const call = callToSettle(situation.calls, act.call)
  if (call === undefined) return 'already'
  const settlement = as === 'happened' ? ({ state: as, result: act.result } as const) : ({ state: as } as const)
  // The journal's guarded update is the claim: of two who settle one call, one changes a row.
  if (!(await calls.settle(item, identityOf(item.envelope), call, settlement, { by, nowMs }))) return 'already'
  const rest = situation.calls.filter((other) => other !== call && isUnsettled(other))
  if (rest.length === 0 && item.kind === 'unknown-outcome') await attention.settle(item.id, 'go-on', by, reason, nowMs)
  const { pid, host } = call.process
  const vouched = act.ownerIsGone && call.state === 'intent' ? { ownerIsGone: true, pid, host } : {}
  return await record({ call: call.name, round: call.round, as, ...vouched })
}

/** The text in the file need not be canonical: another program may have written it. */
function sameJson(before: string, after: string): boolean {
  if (before === after) return true
  try {
    return isDeepStrictEqual(parseJson(before), parseJson(after))
  } catch {
    return false
  }
}
