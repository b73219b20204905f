export { seededRandom } from './seeded-random.ts'
export { type UnreliableBroker, unreliableBroker, type UnreliableCounts, type UnreliableOptions } from './unreliable-broker.ts'
