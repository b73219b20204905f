import type { CallRecord, CallStore } from '../calls/call-store.ts'
import { identityOf } from '../message.ts'
import type { ProcessReference, Runtime } from '../runtime.ts'
import type { AttentionItem, AttentionStore } from './attention-store.ts'

/** All that decides what can be done about an item. */
export interface Situation {
  readonly item: AttentionItem
  /** The newest round of each call in the message's journal. */
  readonly calls: readonly CallRecord[]
  readonly isAlive: (process: ProcessReference) => 'alive' | 'dead' | 'unknown'
  readonly nowMs: number
}

/** How a person settles what nobody else knows. */
export type SettleAs = 'happened' | 'did-not-happen' | 'voided'

/** Undefined when there is no such item. In a transaction: as it is now, and stays until COMMIT. */
export async function situationOf(
  stores: { readonly attention: AttentionStore; readonly calls: CallStore },
  id: string,
  runtime: Pick<Runtime, 'isAlive' | 'wallMs'>,
): Promise<Situation | undefined> {
  const item = await stores.attention.get(id)
  if (item === undefined) return undefined
  const calls = await stores.calls.get(item, identityOf(item.envelope))
  return { item, calls, isAlive: (process) => runtime.isAlive(process), nowMs: runtime.wallMs() }
}
