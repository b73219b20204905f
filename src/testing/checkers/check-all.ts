import type { History } from '../history.ts'
import { attention } from './attention.ts'
import { callRepeat } from './call-repeat.ts'
import { callResult } from './call-result.ts'
import { callSilence } from './call-silence.ts'
import { callToken } from './call-token.ts'
import { callTokenShared } from './call-token-shared.ts'
import { callTurn } from './call-turn.ts'
import { causalOrder } from './causal-order.ts'
import { chargedOnce } from './charged-once.ts'
import { conservation } from './conservation.ts'
import { convergence } from './convergence.ts'
import { determinism } from './determinism.ts'
import { fenced } from './fenced.ts'
import { honestUnknowns } from './honest-unknowns.ts'
import { keyGap } from './key-gap.ts'
import { keyOrder } from './key-order.ts'
import { liveness } from './liveness.ts'
import { noDuplicateEffect } from './no-duplicate-effect.ts'
import { noLoss } from './no-loss.ts'
import { noPhantom } from './no-phantom.ts'
import { oneTransaction } from './one-transaction.ts'
import { Reading } from './reading.ts'
import { receipts } from './receipts.ts'
import { totalOrder } from './total-order.ts'
import type { CheckerName, CheckOptions, Violation } from './violation.ts'
import { checkerNames } from './violation.ts'

export type Checker = (history: History | Reading, options?: CheckOptions) => Violation[]

/** Every checker, by its name. */
export const checkers: Readonly<Record<CheckerName, Checker>> = {
  'no-loss': noLoss,
  'no-duplicate-effect': noDuplicateEffect,
  'no-phantom': noPhantom,
  receipts,
  'key-order': keyOrder,
  'key-gap': keyGap,
  'total-order': totalOrder,
  'causal-order': causalOrder,
  convergence,
  conservation,
  'one-transaction': oneTransaction,
  fenced,
  liveness,
  'honest-unknowns': honestUnknowns,
  attention,
  'charged-once': chargedOnce,
  'call-token': callToken,
  'call-token-shared': callTokenShared,
  'call-repeat': callRepeat,
  'call-turn': callTurn,
  'call-result': callResult,
  'call-silence': callSilence,
  determinism,
}

/**
 * All that is wrong with a history, by the promises that were made. It is read once; the time is near-linear in its length (with
 * causal order, in messages × producers).
 *
 * No violation means that none of these checkers sees one in this history: no more than that.
 *
 * @example
 * const violations = checkAll(history, { semantics: 'effectively-once', promises: { order: 'key' } })
 * if (violations.length > 0) throw new Error(explain(violations, history))
 */
export function checkAll(history: History, options: CheckOptions = {}): Violation[] {
  const reading = new Reading(history, options)
  return checkerNames.flatMap((name) => checkers[name](reading))
}
