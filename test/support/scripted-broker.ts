import type { Assignment } from '../../src/broker/broker.ts'
import type { Broker, Delivery, Envelope } from '../../src/index.ts'
import { brokerCard } from './cards.ts'

/** A broker that hands over just these envelopes, in this order. */
export function scripted(envelopes: readonly Envelope[]): Broker {
  return {
    card: brokerCard('scripted'),
    open: async () => {},
    close: async () => {},
    publish: async (_topic, sent) => sent.map(({ id, source }) => ({ status: 'accepted' as const, id, source })),
    async *subscribe(subscribed, group, { signal }) {
      const batch: Delivery[] = envelopes.map((envelope) => ({ envelope, redelivered: 'unknown' }))
      let handed = false
      yield {
        subscription: { topic: subscribed.name, group },
        partition: '0',
        revoked: new AbortController().signal,
        lost: new AbortController().signal,
        next: async (_limit, end) => {
          if (!handed) {
            handed = true
            return batch
          }
          await new Promise<void>((resolve) => end.addEventListener('abort', () => resolve(), { once: true }))
          return undefined
        },
        settle: async () => {},
        drained: async () => handed,
        released: async () => {},
      } satisfies Assignment
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    },
  }
}
