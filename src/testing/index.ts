export { consumePoints, type Point, publishPoints, receivePoints, relayPoints } from '../points.ts'
export { seededRandom } from './seeded-random.ts'
export { type UnreliableBroker, type UnreliableCounts, type UnreliableOptions, unreliableBroker } from './unreliable-broker.ts'
