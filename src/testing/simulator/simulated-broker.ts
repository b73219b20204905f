import type { Assignment, Broker, SubscribeOptions } from '../../broker/broker.ts'
import { OnefoldError } from '../../errors.ts'
import type { BrokerCard } from '../../guarantee/card.ts'
import type { Envelope, Receipt } from '../../message.ts'
import { outboxNumberOf } from '../../outbox-number.ts'
import type { AnyTopic } from '../../topic.ts'
import type { BrokerWorld, Member } from './broker-world.ts'
import type { Incarnation } from './world.ts'

const firstRefused = 'the first is refused, the others are taken'

const busy = (): OnefoldError => new OnefoldError('DATABASE_BUSY', 'the simulated broker refuses.', { retry: 'later' })

/** One process's client of the simulated broker. */
export class SimulatedBroker implements Broker {
  readonly card: BrokerCard
  readonly #broker: BrokerWorld
  readonly #self: Incarnation

  constructor(broker: BrokerWorld, self: Incarnation) {
    this.#broker = broker
    this.#self = self
    const { personality } = broker
    this.card = {
      kind: 'broker',
      name: `simulated ${personality}`,
      claims: {
        order: 'per partition',
        redelivery: personality === 'queue' ? 'also what was settled' : 'what was not settled',
        'may hold duplicates': personality !== 'log',
        'recognises repeats': false,
        'keeps order when it refuses': personality === 'log',
        'gives offsets': personality !== 'queue',
        'delayed delivery': false,
        'acknowledged means on disk': true,
        'max data bytes': 1024 * 1024,
      },
    }
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  publish(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly (Receipt | OnefoldError)[]> {
    const { world, personality } = this.#broker
    return new Promise((resolve, reject) => {
      world.call({
        owner: this.#self,
        label: `send to ${topic.name}`,
        locks: false,
        faults: [
          'killed before it is taken',
          'killed after it is taken',
          'refused',
          ...(personality === 'log' ? [] : ['taken, answer lost']),
          'frozen before it',
          // Of what a producer sends itself, its order is its own to look after.
          ...(personality !== 'log' && envelopes.length > 1 && outboxNumberOf(envelopes[0] as Envelope) !== undefined
            ? [firstRefused]
            : []),
        ],
        begin: (fault) => {
          if (fault === 'killed before it is taken') return world.crash(this.#self, `before ${topic.name} took it`)
          if (fault === 'refused') return reject(busy())
          const refused = fault === firstRefused ? 1 : 0
          if (refused > 0) world.tell(this.#self, `sends to ${topic.name}; the first is refused, the others are taken`)
          // A log that holds each message once knows its producer's repeats.
          const known =
            personality === 'log'
              ? new Set([...this.#broker.messages()].map((one) => `${one.topic} ${one.envelope.id}`))
              : undefined
          this.#broker.append(
            topic,
            envelopes.slice(refused).filter(({ id }) => {
              const repeat = known?.has(`${topic.name} ${id}`) === true
              known?.add(`${topic.name} ${id}`)
              return !repeat
            }),
          )
          if (fault === 'killed after it is taken') return world.crash(this.#self, `after ${topic.name} took it`)
          if (fault === 'taken, answer lost') {
            world.tell(this.#self, `sends to ${topic.name}; it is taken, and the answer is lost`)
            return reject(new OnefoldError('COMMIT_UNKNOWN', 'no answer (simulated).', { outcome: 'unknown', retry: 'later' }))
          }
          resolve(envelopes.map(({ id, source }, index) => (index < refused ? busy() : { status: 'accepted', id, source })))
        },
      })
    })
  }

  async *subscribe(topic: AnyTopic, group: string, options: SubscribeOptions): AsyncIterable<Assignment> {
    const member: Member = { self: this.#self, subscription: { topic: topic.name, group }, options, fresh: [], wake: undefined }
    this.#broker.join(member, topic.settings.order === 'total' ? 1 : this.#broker.partitions)
    const { signal } = options
    signal.addEventListener('abort', () => member.wake?.(), { once: true })
    try {
      while (!signal.aborted) {
        for (let assignment = member.fresh.shift(); assignment !== undefined; assignment = member.fresh.shift()) {
          try {
            await assignment.start()
          } catch {
            // It is given out again, to whomever: that may be soon.
            await assignment.released()
            continue
          }
          yield assignment
        }
        if (signal.aborted) break
        if (member.fresh.length === 0)
          await new Promise<void>((resolve) => {
            member.wake = resolve
          })
      }
    } finally {
      this.#broker.leave(member)
    }
  }
}
