import type { PartitionState } from './consumer-context.ts'
import type { Item } from './item.ts'

/** How one kind of handler takes a partition's messages. Both answer only after what they did is durable. */
export interface Strategy {
  /** Everything in `items` is, on return, applied, suppressed or parked, and committed. */
  batch(state: PartitionState, items: readonly Item[]): Promise<void>
  /** Runs parked messages whose time has come. True: there may be more. */
  parked(state: PartitionState, options: { readonly marked: boolean }): Promise<boolean>
  /** Runs one message alone, after a durable mark that it is about to run: something here may kill the process. */
  suspect(state: PartitionState, item: Item): Promise<void>
  /** Its handlers wait for the outside world: nobody else may be made to wait for one of them. */
  readonly waitsOutside: boolean
  /** Present when parked messages have their turns beside the loop, several at a time. */
  readonly beside: TurnsBeside | undefined
}

export interface TurnsBeside {
  /** False: as much as may be under way at the same time is, and due messages wait. */
  readonly takesMore: boolean
  /** The partition is ours now: what an owner before us had under way is nobody's. */
  assigned(state: PartitionState): Promise<void>
  /** Messages of the partition that are under way now. */
  underWay(partition: string): number
  /** Resolves when none is. */
  settled(partition: string): Promise<void>
}

/**
 * Something published in a shared commit was refused. It has been undone; message by message it shows whose it was.
 */
export class PublishRefused extends Error {
  override readonly name = 'PublishRefused'
}

/** The partition is another process's now: stop at once, nothing of this attempt was committed. */
export class Lost extends Error {
  override readonly name = 'Lost'
}
