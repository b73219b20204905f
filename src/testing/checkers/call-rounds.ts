import type { RequestOperation, SettleOperation } from '../history.ts'
import type { At, Handled } from './reading.ts'
import { entry } from './reading.ts'

/** What is known of one call for one message. */
export interface CallSeen {
  readonly requests: readonly At<RequestOperation>[]
  readonly settled: readonly At<SettleOperation>[]
}

/** By the call's name. */
export function callsOf({ requests, settled }: Handled): Map<string, CallSeen> {
  const calls = new Map<string, { requests: At<RequestOperation>[]; settled: At<SettleOperation>[] }>()
  const of = (call: string) => entry(calls, call, () => ({ requests: [], settled: [] }))
  for (const at of requests) of(at.operation.call).requests.push(at)
  for (const at of settled) of(at.operation.call).settled.push(at)
  return calls
}

/**
 * The last request in doubt. A yes, a no that speaks of the token, and a settlement as happened or voided speak of every request
 * under that token, earlier and later; "it did not happen" only of those before.
 */
export function unresolved({ requests, settled }: CallSeen): At<RequestOperation> | undefined {
  const known = new Set<string>()
  const deniedAt = new Map<string, number>()
  for (const { operation } of requests) if (isAnswer(operation)) known.add(operation.token)
  for (const { index, operation } of settled) {
    if (operation.as === 'did-not-happen') deniedAt.set(operation.token, index)
    else known.add(operation.token)
  }
  return requests.findLast(
    ({ index, operation }) =>
      operation.outcome === 'unknown' && !known.has(operation.token) && index > (deniedAt.get(operation.token) ?? -1),
  )
}

/** It says what became of all there was under its token. */
export function isAnswer({ outcome, refuses }: RequestOperation): boolean {
  return outcome === 'happened' || (outcome === 'did-not-happen' && refuses !== 'request')
}

/**
 * The first request under a token that, as far as was known before a place in the history, may have happened. Undefined: the other
 * side said that nothing did, a settlement did, or every single request until then was refused.
 */
export function doubtsOf({ requests, settled }: CallSeen): (token: string, before: number) => number | undefined {
  const refused = new Map<string, number>()
  const doubted = new Map<string, number>()
  const note = (map: Map<string, number>, token: string, index: number): void => {
    map.set(token, Math.min(index, map.get(token) ?? index))
  }
  for (const { index, operation } of requests) {
    if (operation.outcome !== 'did-not-happen') note(doubted, operation.token, index)
    else if (isAnswer(operation)) note(refused, operation.token, index)
  }
  for (const { index, operation } of settled) if (operation.as !== 'happened') note(refused, operation.token, index)
  return (token, before) => {
    const doubt = doubted.get(token)
    return doubt === undefined || doubt >= before || (refused.get(token) ?? before) < before ? undefined : doubt
  }
}
