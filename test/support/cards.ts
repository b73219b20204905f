import type { BrokerCard, BrokerClaims } from '../../src/guarantee/card.ts'

/** The card of a broker made by a test; without `claims` the least that a broker can promise. */
export function brokerCard(name: string, claims: Partial<BrokerClaims> = {}): BrokerCard {
  return {
    kind: 'broker',
    name,
    claims: {
      order: 'per partition',
      redelivery: 'also what was settled',
      'may hold duplicates': true,
      'recognises repeats': false,
      'keeps order when it refuses': false,
      'gives offsets': false,
      'delayed delivery': false,
      'acknowledged means on disk': false,
      'max data bytes': 1024 * 1024,
      ...claims,
    },
  }
}
