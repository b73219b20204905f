import type { Envelope } from '../message.ts'
import type { Order } from '../topic.ts'

/**
 * The lane of a message: messages of one lane are applied one after the other, in the order they arrived, and a parked
 * one holds up those behind it. Undefined: no order to keep, so it holds nobody up and nobody holds it up.
 *
 * With order 'total' all messages are in one lane, which has the empty name (no key is empty).
 */
export function laneOf(envelope: Pick<Envelope, 'key'>, order: Order): string | undefined {
  switch (order) {
    case 'total':
      return ''
    case 'key':
      return envelope.key
    case 'none':
      return undefined
  }
}

/**
 * Parts what arrived together into what must run one after the other: a group per lane, in arrival order; an item without
 * a lane is a group of its own. The groups are in the order of their first items.
 */
export function groupByLane<Item extends { readonly lane?: string | undefined }>(items: readonly Item[]): Item[][] {
  const groups: Item[][] = []
  const groupOfLane = new Map<string, Item[]>()
  for (const item of items) {
    const group = item.lane === undefined ? undefined : groupOfLane.get(item.lane)
    if (group !== undefined) {
      group.push(item)
      continue
    }
    const opened = [item]
    groups.push(opened)
    if (item.lane !== undefined) groupOfLane.set(item.lane, opened)
  }
  return groups
}
