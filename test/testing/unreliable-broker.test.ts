import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Assignment, Broker } from '../../src/broker/broker.ts'
import type { Delivery } from '../../src/message.ts'
import { emptyHeaders } from '../../src/message.ts'
import type { UnreliableOptions } from '../../src/testing/unreliable-broker.ts'
import { unreliableBroker } from '../../src/testing/unreliable-broker.ts'
import type { AnyTopic } from '../../src/topic.ts'
import { topic } from '../../src/topic.ts'
import { brokerCard } from '../support/cards.ts'

/** One partition in memory that hands over from the position it was last told, as a log does after a restart. */
class LogInMemory {
  position = 0
  readonly askedFrom: (bigint | undefined)[] = []
  readonly deliveries: readonly Delivery[]

  constructor(keys: readonly (string | undefined)[]) {
    this.deliveries = keys.map((key, index) => ({
      envelope: { id: `m${index}`, source: 's', key, type: 't', timeMs: 0, headers: emptyHeaders, json: `${index}` },
      offset: BigInt(index + 1),
      redelivered: false,
    }))
  }

  broker(): Broker {
    const log = this
    return {
      card: brokerCard('memory'),
      open: async () => {},
      close: async () => {},
      publish: async () => [],
      async *subscribe(subscribed, group, options) {
        log.askedFrom.push(await options.from('0'))
        let read = log.position
        const settled = new Set<bigint>()
        yield {
          subscription: { topic: subscribed.name, group },
          partition: '0',
          lease: { name: 'of the broker', epoch: 1n, crashes: 0 },
          revoked: new AbortController().signal,
          lost: new AbortController().signal,
          next: async (limit) => {
            const batch = log.deliveries.slice(read, read + limit)
            read += batch.length
            return batch.length === 0 ? undefined : batch
          },
          settle: async (done) => {
            for (const { delivery, as } of done) {
              expect(as).toBe('done')
              expect(settled.has(delivery.offset!)).toBe(false)
              settled.add(delivery.offset!)
              expect(delivery.offset, 'acknowledged out of order: a crash now would lose messages').toBe(BigInt(log.position + 1))
              log.position++
            }
          },
          drained: async () => read === log.deliveries.length,
          released: async () => {},
        } satisfies Assignment
      },
    }
  }
}

const never = new AbortController().signal

async function assignmentOf(broker: Broker, of: AnyTopic): Promise<Assignment> {
  for await (const assignment of broker.subscribe(of, 'g', { from: async () => 77n, startFrom: 'earliest', signal: never }))
    return assignment
  throw new Error('no assignment')
}

/** Takes everything, settling each batch; `stopAfter` batches is a crash of the consumer. */
async function consume(assignment: Assignment, limit: number, stopAfter = Infinity): Promise<Delivery[][]> {
  const batches: Delivery[][] = []
  while (batches.length < stopAfter) {
    if (await assignment.drained()) break
    const batch = await assignment.next(limit, never)
    if (batch === undefined) break
    expect(batch.length).toBeLessThanOrEqual(limit)
    batches.push([...batch])
    if (batches.length < stopAfter) await assignment.settle(batch.map((delivery) => ({ delivery, as: 'done' })))
  }
  return batches
}

const names = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ envelope }) => envelope.id)

function firstsInOrderPerKey(log: LogInMemory, seen: readonly string[]): void {
  const firsts = [...new Set(seen)]
  for (const key of new Set(log.deliveries.map(({ envelope }) => envelope.key))) {
    if (key === undefined) continue
    const ofKey = names(log.deliveries.filter(({ envelope }) => envelope.key === key))
    expect(firsts.filter((id) => ofKey.includes(id))).toEqual(ofKey)
  }
}

const wild = { duplicate: 0.4, reorder: 0.5, redeliver: 0.2, forget: 0.3 }
const anyKeys = fc.array(fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: undefined }), { maxLength: 120 })
const anyChances = fc.record({
  seed: fc.integer(),
  duplicate: fc.constantFrom(0, 0.3, 1),
  reorder: fc.constantFrom(0, 0.3, 1),
  redeliver: fc.constantFrom(0, 0.3, 1),
  forget: fc.constantFrom(0, 0.3, 1),
})

describe('a broker made unreliable', () => {
  test('any options, consumers dying at any batch: every message arrives, first deliveries in order per key, the position never too new', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyKeys,
        anyChances,
        fc.integer({ min: 1, max: 30 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
        async (keys, options, limit, crashes) => {
          const log = new LogInMemory(keys)
          const subject = topic('t')
          const seen: string[] = []
          for (const stopAfter of [...crashes, Infinity]) {
            const broker = unreliableBroker(log.broker(), options)
            const before = new Set(seen)
            const batches = await consume(await assignmentOf(broker, subject), limit, stopAfter)
            const arrived = names(batches.flat())
            // What the crashed consumer had applied is known to its inbox; of the rest the order counts.
            seen.push(...arrived.filter((id) => !before.has(id)))
          }
          expect(new Set(seen).size).toBe(keys.length)
          firstsInOrderPerKey(log, seen)
        },
      ),
    )
  })

  test('offsets, leases and the redelivered mark are taken off; the broker starts from its own position', async () => {
    const log = new LogInMemory(['a', 'b'])
    const assignment = await assignmentOf(unreliableBroker(log.broker(), { seed: 1 }), topic('t'))
    expect(log.askedFrom).toEqual([undefined])
    expect(assignment.lease).toBeUndefined()
    const batch = await assignment.next(10, never)
    expect(batch?.map(({ offset, redelivered }) => ({ offset, redelivered }))).toEqual([
      { offset: undefined, redelivered: 'unknown' },
      { offset: undefined, redelivered: 'unknown' },
    ])
  })

  test('without chances it changes nothing else', async () => {
    const log = new LogInMemory(['a', 'b', 'a', 'c', undefined])
    const broker = unreliableBroker(log.broker(), { seed: 1 })
    expect(names((await consume(await assignmentOf(broker, topic('t')), 2)).flat())).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
    expect(log.position).toBe(5)
    expect(broker.counts()).toEqual({ delivered: 5, duplicated: 0, redelivered: 0, overtaken: 0, forgotten: 0 })
  })

  test('it does misbehave, and counts it', async () => {
    const log = new LogInMemory(Array.from({ length: 400 }, (_, index) => `k${index % 7}`))
    const broker = unreliableBroker(log.broker(), { seed: 3, ...wild })
    const all = names((await consume(await assignmentOf(broker, topic('t')), 20)).flat())
    const counts = broker.counts()
    expect(counts.delivered).toBe(400)
    expect(all.length).toBe(400 + counts.duplicated + counts.redelivered)
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(20)
  })

  test('the same seed and calls give the same deliveries, another seed gives others', async () => {
    const run = async (options: UnreliableOptions) => {
      const log = new LogInMemory(Array.from({ length: 100 }, (_, index) => `k${index % 5}`))
      return names((await consume(await assignmentOf(unreliableBroker(log.broker(), options), topic('t')), 10)).flat()).join()
    }
    expect(await run({ seed: 5, ...wild })).toBe(await run({ seed: 5, ...wild }))
    expect(await run({ seed: 5, ...wild })).not.toBe(await run({ seed: 6, ...wild }))
  })

  test("a delivery asked for again comes again before later ones of its key, and the broker's position waits for it", async () => {
    for (let seed = 0; seed < 50; seed++) {
      const log = new LogInMemory(['a', 'a', 'b', 'a', 'b', 'a'])
      const assignment = await assignmentOf(unreliableBroker(log.broker(), { seed, ...wild, forget: 0 }), topic('t'))
      const applied: string[] = []
      for (let refusals = 5; !(await assignment.drained()); ) {
        const batch = await assignment.next(4, never)
        if (batch === undefined) break
        const refuse = refusals-- > 0
        if (!refuse) applied.push(...names(batch))
        await assignment.settle(batch.map((delivery) => ({ delivery, as: refuse ? 'again' : 'done' })))
        if (refuse) expect(log.position).toBe(0)
      }
      firstsInOrderPerKey(log, applied)
      expect(log.position).toBe(6)
    }
  })

  test("order 'total' is kept for first deliveries", async () => {
    const log = new LogInMemory(Array.from({ length: 60 }, (_, index) => `k${index % 5}`))
    const broker = unreliableBroker(log.broker(), { seed: 2, ...wild, reorder: 1 })
    const all = names((await consume(await assignmentOf(broker, topic('t', { order: 'total' })), 10)).flat())
    expect([...new Set(all)]).toEqual(names(log.deliveries))
  })

  test('a chance outside 0 to 1 is refused by name', () => {
    expect(() => unreliableBroker(new LogInMemory([]).broker(), { seed: 1, reorder: 1.5 })).toThrow(/reorder is 1.5/)
    expect(() => unreliableBroker(new LogInMemory([]).broker(), { seed: 1, duplicate: Number.NaN })).toThrow(/duplicate/)
  })
})
