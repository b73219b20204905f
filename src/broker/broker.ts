import type { OnefoldError } from '../errors.ts'
import type { BrokerCard } from '../guarantee/card.ts'
import type { Subscription } from '../inbox/inbox-store.ts'
import type { Delivery, Envelope, Receipt } from '../message.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { Runtime } from '../runtime.ts'
import type { AnyTopic } from '../topic.ts'

/** How messages travel. The core never asks which broker it is, only what its card claims. */
export interface Broker {
  readonly card: BrokerCard
  open(runtime: Runtime): Promise<void>
  close(): Promise<void>
  /**
   * Answers per message and in order: durable as the card says, or why not. An error with `retry: 'never'` says that this message can
   * never be taken as it is; with any other it may be handed over again, and so may all when the call rejects: some of them may have
   * been taken.
   *
   * The order of a key: what is handed over first is taken first, and nothing is taken after an earlier message of the same key was
   * refused for now. A broker that cannot keep the second part says so (`'keeps order when it refuses': false`), and is handed one
   * message of a key at a time.
   */
  publish(
    topic: AnyTopic,
    envelopes: readonly Envelope[],
    options: { signal?: AbortSignal | undefined },
  ): Promise<readonly (Receipt | OnefoldError)[]>
  /** Yields an assignment for every partition this process is to consume, as long as `signal` is not aborted. */
  subscribe(topic: AnyTopic, group: string, options: SubscribeOptions): AsyncIterable<Assignment>
}

export interface SubscribeOptions {
  /** The core's own checkpoint for a partition: where a log must start. The broker's idea of it is only a hint. */
  from(partition: string): Promise<bigint | undefined>
  readonly startFrom: 'earliest' | 'latest'
  readonly signal: AbortSignal
}

/** One partition, for as long as this process may consume it. */
export interface Assignment {
  readonly subscription: Subscription
  readonly partition: string
  /** Present when the broker owns partitions through our leases; otherwise the core takes one by force. */
  readonly lease?: Lease | undefined
  /** Aborted when the partition is to go to somebody else: finish what has begun, begin nothing new. */
  readonly revoked: AbortSignal
  /** Aborted when it is somebody else's already: what is still running here will not count. */
  readonly lost: AbortSignal
  /** The next deliveries, at most `limit`; waits until there are some; undefined after `revoked` or `signal`. */
  next(limit: number, signal: AbortSignal): Promise<readonly Delivery[] | undefined>
  /** Tells the broker what became of deliveries, after our commit: forget them, or hand them over again. */
  settle(done: readonly { readonly delivery: Delivery; readonly as: 'done' | 'again' }[]): Promise<void>
  /** True when nothing is known to be waiting beyond what `next` has handed over. */
  drained(): Promise<boolean>
  /** The core has stopped working on the partition; a broker of ours releases the lease here. */
  released(): Promise<void>
}
