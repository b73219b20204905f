import type { StandardSchemaV1 } from '@standard-schema/spec'
import { OnefoldError, optionInvalid } from './errors.ts'

/** Defaults and bounds of a topic, in one place. */
export const topicLimits = {
  defaultPartitions: 8,
  maxPartitions: 256,
  defaultMaxDataBytes: 1024 * 1024,
  maxDataBytes: 16 * 1024 * 1024,
  defaultRetentionMs: 7 * 24 * 3_600_000,
} as const

export type Order = 'key' | 'total' | 'none'

interface TopicSettings {
  /** 1 to 256, default 8. Fixed once messages exist; `onefold topic change` is the way to raise it. */
  readonly partitions?: number
  /**
   * 'key' (default): messages with the same key are applied in order. 'total': one partition, all in order.
   * 'none': no order is kept, and a failing message holds nobody up.
   */
  readonly order?: Order
  /**
   * What the same identity with another body means. 'error' (default): the publish is refused with `ID_REUSED`.
   * 'ignore': it is a duplicate (some webhook senders change a counter when they send again). Fixed once messages exist.
   */
  readonly idReuse?: 'error' | 'ignore'
  /** How long applied messages are kept, in ms; 1 minute or more, default 7 days. Nothing unapplied is ever removed. */
  readonly retentionMs?: number
  /** Bound of one message's JSON in UTF-8 bytes; default 1 MiB, at most 16 MiB. */
  readonly maxDataBytes?: number
}

export interface TopicOptions<S extends StandardSchemaV1> extends TopicSettings {
  /** Any Standard Schema (zod, valibot, arktype …). Checked at publish and parsed at receive. */
  readonly schema: S
  /** The message's identity, taken from its parsed data. Without it a fresh UUID is used and repeats are not recognised. */
  readonly id?: (data: StandardSchemaV1.InferOutput<S>) => string
  /** The key whose messages stay in order, taken from parsed data. */
  readonly key?: (data: StandardSchemaV1.InferOutput<S>) => string
}

export interface PlainTopicOptions<Data> extends TopicSettings {
  readonly schema?: never
  readonly id?: (data: Data) => string
  readonly key?: (data: Data) => string
}

/** Plain data: it holds no app and no connection, so producers can import it without the consumer's code. */
export interface Topic<Input, Data = Input> {
  readonly name: string
  readonly settings: {
    readonly partitions: number | undefined
    readonly order: Order
    readonly idReuse: 'error' | 'ignore' | undefined
    readonly retentionMs: number
    readonly maxDataBytes: number
  }
  readonly schema?: StandardSchemaV1<Input, Data> | undefined
  readonly id?: ((data: Data) => string) | undefined
  readonly key?: ((data: Data) => string) | undefined
  /** True for a topic known by name only (the CLI): what the file says about it wins. */
  readonly adopt?: boolean
  readonly '~types'?: { input: Input; data: Data }
}

// biome-ignore lint/suspicious/noExplicitAny: a topic of whatever data
export type AnyTopic = Topic<any, any>

/**
 * Declares a topic. Nothing is opened or written.
 *
 * @throws OnefoldError `OPTION_INVALID` naming the option.
 * @example
 * const payments = topic('payments', { schema: Payment, id: (p) => p.id, key: (p) => p.account })
 * const clicks = topic<{ page: string }>('clicks')
 */
export function topic<S extends StandardSchemaV1>(
  name: string,
  options: TopicOptions<S>,
): Topic<StandardSchemaV1.InferInput<S>, StandardSchemaV1.InferOutput<S>>
export function topic<Data>(name: string, options?: PlainTopicOptions<Data>): Topic<Data>
export function topic(name: string, options: TopicOptions<StandardSchemaV1> | PlainTopicOptions<unknown> = {}): AnyTopic {
  checkName('topic name', name)
  const order = options.order ?? 'key'
  if (order !== 'key' && order !== 'total' && order !== 'none') throw optionInvalid('order', order, "'key', 'total' or 'none'")
  if (order === 'total' && options.partitions !== undefined && options.partitions !== 1) {
    throw optionInvalid('partitions', options.partitions, "1 (or absent) when order is 'total'")
  }
  const { schema } = options
  if (schema !== undefined && typeof schema?.['~standard']?.validate !== 'function') {
    throw optionInvalid('schema', schema, 'a Standard Schema (zod, valibot, arktype …)')
  }
  for (const option of ['id', 'key'] as const) {
    const value = options[option]
    if (value !== undefined && typeof value !== 'function') throw optionInvalid(option, value, 'a function of the data')
  }
  if (options.idReuse !== undefined && options.idReuse !== 'error' && options.idReuse !== 'ignore') {
    throw optionInvalid('idReuse', options.idReuse, "'error' or 'ignore'")
  }
  return Object.freeze({
    name,
    schema,
    id: options.id,
    key: options.key,
    settings: Object.freeze({
      partitions: order === 'total' ? 1 : integer('partitions', options.partitions, 1, topicLimits.maxPartitions),
      order,
      idReuse: options.idReuse,
      retentionMs: integer('retentionMs', options.retentionMs, 60_000, Number.MAX_SAFE_INTEGER) ?? topicLimits.defaultRetentionMs,
      maxDataBytes: integer('maxDataBytes', options.maxDataBytes, 1, topicLimits.maxDataBytes) ?? topicLimits.defaultMaxDataBytes,
    }),
  }) as AnyTopic
}

/** A topic known by name only: partitions, keyed or not, and idReuse are whatever the database says. */
export function adoptTopic(
  name: string,
  options: { id?: (data: unknown) => string; key?: (data: unknown) => string } = {},
): Topic<unknown> {
  return Object.freeze({ ...topic<unknown>(name, options), adopt: true })
}

/** Names go into tables, wires and shells: letters, digits and `. _ - /`, at most 200 characters. */
export function checkName(what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/.test(name)) {
    throw optionInvalid(what, name, '1 to 200 letters, digits or any of . _ - / (starting with a letter or digit)')
  }
}

function integer(option: string, value: number | undefined, min: number, max: number): number | undefined {
  if (value === undefined) return undefined
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw optionInvalid(option, value, `a whole number from ${min} to ${max}`)
  return value
}

export interface ParseFailure {
  readonly path: string
  readonly message: string
}

/** Runs the topic's schema. Answers at once unless the schema itself is asynchronous. */
export function parseData<I, D>(
  topic: Topic<I, D>,
  input: unknown,
):
  | { readonly value: D }
  | { readonly failures: readonly ParseFailure[] }
  | Promise<{ readonly value: D } | { readonly failures: readonly ParseFailure[] }> {
  if (topic.schema === undefined) return { value: input as D }
  const result = topic.schema['~standard'].validate(input)
  return result instanceof Promise ? result.then(toParsed<D>) : toParsed<D>(result)
}

function toParsed<D>(result: StandardSchemaV1.Result<D>): { readonly value: D } | { readonly failures: readonly ParseFailure[] } {
  if (result.issues === undefined) return { value: result.value }
  return {
    failures: result.issues.map((issue) => ({
      path: (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
      message: issue.message,
    })),
  }
}

/** One sentence for the error of a message that does not fit its topic. */
export function schemaError(topic: AnyTopic, failures: readonly ParseFailure[], id?: string): OnefoldError {
  const first = failures[0]
  const where = first?.path ? `${first.path}: ` : ''
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : ''
  return new OnefoldError(
    'MESSAGE_INVALID',
    `data does not fit the schema of topic ${topic.name}: ${where}${first?.message ?? 'refused'}${more}`,
    {
      details: { topic: topic.name, field: first?.path ?? '', id },
    },
  )
}

export function idReused(topic: AnyTopic, id: string, source: string): OnefoldError {
  return new OnefoldError(
    'ID_REUSED',
    `message ${id} of topic ${topic.name} (source ${source}) was published before with other data. Give the new message an id of its own, or declare the topic with idReuse: 'ignore'.`,
    { details: { topic: topic.name, id, source } },
  )
}
