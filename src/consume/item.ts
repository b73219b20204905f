import { OnefoldError } from '../errors.ts'
import type { Delivery, Envelope, Message } from '../message.ts'
import { identityOf } from '../message.ts'
import { withoutOutboxNumber } from '../outbox-number.ts'
import { parseJson } from '../parse-json.ts'
import type { AnyTopic, ParseFailure } from '../topic.ts'
import { parseData, schemaError } from '../topic.ts'
import { laneOf } from './lanes.ts'

/** A delivery made ready for its handler, outside any lock. */
export interface Item {
  readonly delivery: Delivery
  readonly envelope: Envelope
  readonly identity: string
  readonly lane: string | undefined
  readonly data: unknown
  /** Why it can never be applied: not JSON, or not what the schema takes. */
  readonly invalid: OnefoldError | undefined
  /** `invalid` says why, and only now: the inbox refused its identity. It must not wait behind others and then be run. */
  readonly refused?: boolean
  /** Why it may have been applied before: a person decides, and nothing runs. */
  readonly late?: OnefoldError
}

export async function toItems(topic: AnyTopic, deliveries: readonly Delivery[]): Promise<Item[]> {
  const items: Item[] = []
  for (const delivery of deliveries) {
    const { envelope } = delivery
    let data: unknown
    let invalid: OnefoldError | undefined
    try {
      const parsed = parseData(topic, parseJson(envelope.json))
      const result: { readonly value: unknown } | { readonly failures: readonly ParseFailure[] } =
        parsed instanceof Promise ? await parsed : parsed
      if ('failures' in result) invalid = schemaError(topic, result.failures, envelope.id)
      else data = result.value
    } catch (error) {
      invalid = new OnefoldError(
        'MESSAGE_INVALID',
        `message ${envelope.id} of topic ${topic.name} cannot be read: ${(error as Error)?.message ?? String(error)}`,
        {
          cause: error,
          details: { topic: topic.name, id: envelope.id },
        },
      )
    }
    items.push({
      delivery,
      envelope,
      identity: identityOf(envelope),
      lane: laneOf(envelope, topic.settings.order),
      data,
      invalid,
    })
  }
  return items
}

export function messageOf(item: Item): Message<unknown> {
  const { envelope } = item
  return Object.freeze({
    id: envelope.id,
    source: envelope.source,
    ...(envelope.sequence === undefined ? {} : { sequence: envelope.sequence }),
    ...(envelope.key === undefined ? {} : { key: envelope.key }),
    type: envelope.type,
    time: new Date(envelope.timeMs).toISOString(),
    headers: withoutOutboxNumber(envelope.headers),
    data: item.data,
  })
}
