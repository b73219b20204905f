import type { AnyCall, CallResults } from '../call.ts'
import type { Message } from '../message.ts'
import type { Topic } from '../topic.ts'

/** Publishes from inside a transaction: buffered, checked and written before COMMIT, sent if and only if it commits. */
export interface PublishInside {
  <I, D>(topic: Topic<I, D>, data: NoInfer<I>, options?: PublishInsideOptions): void
}

export interface PublishInsideOptions {
  readonly id?: string
  readonly sequence?: bigint
  readonly key?: string
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly deliverAt?: Date
}

/** Declared calls, by name. The name is the call's identity in the journal. */
export type Calls<Data> = Readonly<Record<string, AnyCall & { run(data: Data, context: never): unknown }>>

export interface ApplyContext<Tx, Data, E = unknown> {
  /** The transaction the effect must be written in. Revoked when `apply` ends. */
  readonly tx: Tx
  readonly publish: PublishInside
  readonly message: Message<Data>
  /** 1 on the first attempt. */
  readonly attempt: number
  /** What the declared calls gave, as JSON gives it back. */
  readonly calls: CallResults<E>
  /** Aborts when the transaction times out, the partition is taken over, or the app stops without drain. */
  readonly signal: AbortSignal
}

export interface BatchItem<Data> {
  readonly data: Data
  readonly message: Message<Data>
  readonly attempt: number
  /** Publishes with this item as the cause. */
  readonly publish: PublishInside
}

export interface ReceiveContext<Data> {
  readonly message: Message<Data>
  readonly attempt: number
  /** Equal on every attempt and every redelivery of this message to this group: hand it on as an idempotency key. */
  readonly token: string
  readonly signal: AbortSignal
}

interface ConsumeSettings {
  /** Where a group starts that does not exist yet. Default 'earliest'. */
  readonly startFrom?: 'earliest' | 'latest'
  /** Messages per batch (and, for `apply`, at most per commit): 1 to 10,000, default 500 for `apply`, 64 with `receive` or calls. */
  readonly batchSize?: number
  /** Attempts in all, the first included: 1 to 1,000, default 8. */
  readonly maxAttempts?: number
  /** Attempts made at once, before the message is parked: 1 to 10, default 2. */
  readonly inlineAttempts?: number
  /** Delay before the first parked attempt, doubled each time, full jitter; 0 to 1 hour, default 1 s. */
  readonly backoffMs?: number
  /** Bound of that delay; default 5 min, at most 1 day. */
  readonly maxBackoffMs?: number
  /** How often a message may be running alone when its process dies, before it goes to attention: 1 to 100, default 3. */
  readonly maxCrashes?: number
  /** After the last attempt: 'hold' (default) keeps later messages of the key waiting for a person; 'skip' lets them pass. */
  readonly onExhausted?: 'hold' | 'skip'
}

export interface ConsumeApply<Tx, Data, E = unknown> extends ConsumeSettings {
  readonly group: string
  readonly semantics?: 'effectively-once'
  /** One message's transaction, in ms: 10 to 1 hour, default 30 s. Also the bound of a handler that never yields. */
  readonly transactionTimeoutMs?: number
  /** External calls, made before the transaction and journaled; `apply` gets their results. */
  readonly calls?: E
  /** With calls: messages whose calls are under way at the same time in this process, never two of one key. 1 to 1,000, default 10. */
  readonly concurrency?: number
  readonly apply: (data: Data, context: ApplyContext<Tx, Data, E>) => unknown
  readonly applyBatch?: never
  readonly receive?: never
}

export interface ConsumeApplyBatch<Tx, Data> extends ConsumeSettings {
  readonly group: string
  readonly semantics?: 'effectively-once'
  readonly transactionTimeoutMs?: number
  readonly apply?: never
  readonly calls?: never
  readonly concurrency?: never
  /** Set-based SQL: all items or none; after a failure the items are applied one by one. */
  readonly applyBatch: (items: readonly BatchItem<Data>[], context: { readonly tx: Tx; readonly signal: AbortSignal }) => unknown
  readonly receive?: never
}

export interface ConsumeReceive<Data> extends ConsumeSettings {
  readonly group: string
  /** 'at-least-once' acknowledges after the handler, 'at-most-once' before it. */
  readonly semantics: 'at-least-once' | 'at-most-once'
  /** Handlers running at the same time in this process, never two of one key: 1 to 1,000, default 1. */
  readonly concurrency?: number
  /** One attempt, in ms; default 30 s, at most 1 day. */
  readonly timeoutMs?: number
  readonly apply?: never
  readonly calls?: never
  readonly applyBatch?: never
  /** Never inside a transaction: for effects outside the database that may happen again, or may be lost. */
  readonly receive: (data: Data, context: ReceiveContext<Data>) => unknown
}

export type ConsumeOptions<Tx, Data, E = unknown> = ConsumeApply<Tx, Data, E> | ConsumeApplyBatch<Tx, Data> | ConsumeReceive<Data>
export type Semantics = 'effectively-once' | 'at-least-once' | 'at-most-once'
