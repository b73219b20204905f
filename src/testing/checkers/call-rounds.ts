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
 * The last request in doubt. A known answer, and a settlement as happened or voided, speak of every request under that token,
 * earlier and later; "it did not happen" only of those before.
 */
export function unresolved({ requests, settled }: CallSeen): At<RequestOperation> | undefined {
  const known = new Set<string>()
  const deniedAt = new Map<string, number>()
  for (const { operation } of requests) if (operation.outcome !== 'unknown') known.add(operation.token)
  for (const { index, operation } of settled) {
    if (operation.as === 'did-not-happen') deniedAt.set(operation.token, index)
    else known.add(operation.token)
  }
  return requests.findLast(({ index, operation }) => !known.has(operation.token) && index > (deniedAt.get(operation.token) ?? -1))
}

/** Whether it was known, before a place in the history, that nothing happened under a token: the other side said no, or a settlement did. */
export function refusedFrom({ requests, settled }: CallSeen): (token: string, before: number) => boolean {
  const from = new Map<string, number>()
  const note = (token: string, index: number): void => {
    from.set(token, Math.min(index, from.get(token) ?? index))
  }
  for (const { index, operation } of requests) if (operation.outcome === 'did-not-happen') note(operation.token, index)
  for (const { index, operation } of settled) if (operation.as !== 'happened') note(operation.token, index)
  return (token, before) => (from.get(token) ?? before) < before
}
