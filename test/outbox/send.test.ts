import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { NumberedRow } from '../../src/outbox/outbox-store.ts'
import { send } from '../../src/outbox/send.ts'
import type { Order } from '../../src/topic.ts'
import { topic } from '../../src/topic.ts'
import { envelope } from '../support/parked-messages.ts'
import { never, notNow, QueueBroker } from '../support/queue-broker.ts'

const rowOf = (id: string, key: string | undefined, order: Order = 'key', name = 'orders'): NumberedRow => ({
  row: BigInt(id.replace(/\D/g, '')),
  topic: name,
  order,
  cause: undefined,
  envelope: { ...envelope(id), key },
  number: { series: 's', number: 1n },
})
const rows = (...named: readonly string[]): NumberedRow[] => named.map((name) => rowOf(name, name[0]))
const sending = (broker: QueueBroker) => ({ broker, topicNamed: topic, signal: new AbortController().signal })
const ids = (some: readonly NumberedRow[]): string[] => some.map((row) => row.envelope.id)

describe('rows that are handed to a broker', () => {
  test('all in one call, where the broker keeps order when it refuses; one of each key at a time, where it does not', async () => {
    const keeps = new QueueBroker({ 'keeps order when it refuses': true })
    await send(rows('a1', 'b2', 'a3', 'a4'), sending(keeps))
    expect(keeps.calls).toEqual([['a1', 'b2', 'a3', 'a4']])
    const does = new QueueBroker()
    await send(rows('a1', 'b2', 'a3', 'a4'), sending(does))
    expect(does.calls).toEqual([['a1', 'b2'], ['a3'], ['a4']])
  })

  test('behind one that is refused for now the others of its key are not handed over; other keys go on', async () => {
    const broker = new QueueBroker()
    broker.refuses = ({ id }) => (id === 'a1' ? notNow(id) : undefined)
    const sent = await send(rows('a1', 'b2', 'a3', 'b4'), sending(broker))
    expect(broker.calls).toEqual([['a1', 'b2'], ['b4']])
    expect(ids(sent.taken)).toEqual(['b2', 'b4'])
    expect(sent.failure).toMatchObject({ code: 'DATABASE_BUSY' })
    expect(sent.refused).toEqual([])
  })

  test('one that is refused for good holds up nobody', async () => {
    const broker = new QueueBroker()
    broker.refuses = ({ id }) => (id === 'a1' ? never(id) : undefined)
    const sent = await send(rows('a1', 'a2'), sending(broker))
    expect(ids(sent.taken)).toEqual(['a2'])
    expect(sent.refused).toMatchObject([{ row: { envelope: { id: 'a1' } }, error: { code: 'ID_REUSED' } }])
    expect(sent.failure).toBeUndefined()
  })

  test("with order 'total' a refusal holds up the whole topic, whatever the keys; with 'none', and without a key, nothing", async () => {
    const of = async (order: Order, key: (id: string) => string | undefined) => {
      const broker = new QueueBroker()
      broker.refuses = ({ id }) => (id === 'a1' ? notNow(id) : undefined)
      const sent = await send(
        ['a1', 'b2', 'a3'].map((id) => rowOf(id, key(id), order)),
        sending(broker),
      )
      return [broker.calls, ids(sent.taken)]
    }
    expect(await of('total', (id) => id[0])).toEqual([[['a1']], []])
    expect(await of('none', (id) => id[0])).toEqual([[['a1', 'b2', 'a3']], ['b2', 'a3']])
    expect(await of('key', () => undefined)).toEqual([[['a1', 'b2', 'a3']], ['b2', 'a3']])
  })

  test('a topic that fails as a whole keeps none of its rows from coming again, and no other topic from being sent', async () => {
    const broker = new QueueBroker()
    broker.refuses = (one) => {
      if (one.id === 'a2') throw notNow('all of it')
      return undefined
    }
    const sent = await send([rowOf('a1', 'a', 'key', 'bad'), rowOf('a2', 'a', 'key', 'bad'), rowOf('a3', 'a')], sending(broker))
    expect(ids(sent.taken)).toEqual(['a1', 'a3'])
    expect(sent.failure).toMatchObject({ message: 'all of it is not taken now.' })
  })

  test('what the broker has not answered for comes again', async () => {
    const broker = new QueueBroker()
    broker.publish = async () => []
    const sent = await send(rows('a1'), sending(broker))
    expect(sent).toMatchObject({ taken: [], refused: [], failure: { code: 'COMMIT_UNKNOWN', outcome: 'unknown' } })
  })

  test.each([true, false])(
    'whatever is refused how often: each key is taken in its order, and all of it (the broker keeps order itself: %s)',
    async (keepsOrder) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 }),
          fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
          async (keys, chances) => {
            const broker = new QueueBroker({ 'keeps order when it refuses': keepsOrder })
            broker.refuses = ({ id }) => (chances.shift() === true ? notNow(id) : undefined)
            const all = rows(...keys.map((key, index) => `${key}${index}`))
            let left = all
            for (let round = 0; left.length > 0 && round < 100; round++) {
              const { taken } = await send(left, sending(broker))
              left = left.filter((row) => !taken.includes(row))
            }
            for (const key of ['a', 'b', 'c'])
              expect(broker.taken.filter((one) => one.key === key).map(({ id }) => id)).toEqual(
                ids(all.filter((row) => row.envelope.key === key)),
              )
          },
        ),
        { numRuns: 300 },
      )
    },
  )
})
