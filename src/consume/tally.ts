import type { Outgoing } from '../publish/outgoing.ts'
import type { Item } from './item.ts'
import type { AttemptRecord, NewParked } from './parked-store.ts'

/** What one transaction did; adopted only once it has committed. */
export interface Tally {
  done: number
  applied: number
  suppressed: number
  held: Set<string> | undefined
  /** What handlers published, to be written before COMMIT. Undefined: each message writes its own. */
  outgoing?: Outgoing[]
  /** Failed attempts of messages that were attempted again at once. */
  tried?: Map<Item, AttemptRecord[]>
  readonly parked: NewParked[]
  readonly failures: {
    readonly item: Item
    readonly error: unknown
    readonly attempts: number
    readonly state: 'waiting' | 'attention'
  }[]
}

export function emptyTally(): Tally {
  return { done: 0, applied: 0, suppressed: 0, held: undefined, parked: [], failures: [] }
}

export function addTally(total: Tally, tally: Tally): void {
  total.done += tally.done
  total.applied += tally.applied
  total.suppressed += tally.suppressed
  total.held = tally.held ?? total.held
  total.parked.push(...tally.parked)
  total.failures.push(...tally.failures)
}
