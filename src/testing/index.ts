export { consumePoints, erasePoints, type Point, publishPoints, receivePoints, relayPoints, schedulePoints } from '../points.ts'
export { seededRandom } from './seeded-random.ts'
export { type UnreliableBroker, type UnreliableCounts, type UnreliableOptions, unreliableBroker } from './unreliable-broker.ts'
