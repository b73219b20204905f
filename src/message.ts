/** A value or a promise of it: ports may answer at once (SQLite) or later (everything with a network). */
export type Awaitable<T> = T | PromiseLike<T>

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null &&
    (typeof value === 'object' || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}

export type Headers = Readonly<Record<string, string>>

/** What a handler sees. On a wire it is a CloudEvents 1.0 event. */
export interface Message<Data> {
  /** Unique within (`topic`, `source`). */
  readonly id: string
  /** Who numbers or names the messages: an application's configured name, never a host or a process. */
  readonly source: string
  /** The number the producer gave, when it numbers its messages. Then it, not `id`, is the identity. */
  readonly sequence?: bigint
  /** Messages with the same key are applied in order. */
  readonly key?: string
  readonly type: string
  /** RFC 3339, UTC: when the producer published it. */
  readonly time: string
  readonly headers: Headers
  readonly data: Data
}

/**
 * A message on its way: data still as canonical JSON text, exactly as it was handed over and as it is stored.
 * Every engine stores and carries this shape; only the consumer turns `json` into typed data.
 */
export interface Envelope {
  readonly id: string
  readonly source: string
  readonly sequence?: bigint | undefined
  readonly key?: string | undefined
  readonly type: string
  readonly timeMs: number
  readonly headers: Headers
  /** RFC 8785 canonical JSON of the input. */
  readonly json: string
  /** Not to be delivered before this wall-clock time. Gone once the message has its place in a log. */
  readonly deliverAtMs?: number | undefined
}

/** What `publish` answers once the message is durable (`staged`: once the surrounding transaction commits). */
export interface Receipt {
  readonly status: 'accepted' | 'duplicate' | 'staged'
  readonly id: string
  readonly source: string
}

/** A message handed to a consumer, perhaps not for the first time. */
export interface Delivery {
  readonly envelope: Envelope
  /** The position the log gave, where the broker is a log. */
  readonly offset?: bigint | undefined
  readonly redelivered: boolean | 'unknown'
}

/** Identity as one string, for maps, logs and error details. */
export function identityOf(message: {
  readonly source: string
  readonly id: string
  readonly sequence?: bigint | undefined
}): string {
  return message.sequence === undefined ? `${message.source}/${message.id}` : `${message.source}#${message.sequence}`
}

/** Types that begin so are Onefold's own; nobody else publishes them. */
export const reservedTypePrefix = 'onefold.'

/** Left in a log where a message's data was erased: never applied. */
export const erasedType = 'onefold.erased'

export const isErased = (envelope: Pick<Envelope, 'type'>): boolean => envelope.type === erasedType

export const emptyHeaders: Headers = Object.freeze({})
