import type { AppendStatus, Database, TopicRecord } from '../../database/database.ts'
import { isOnefoldError, OnefoldError } from '../../errors.ts'
import type { BrokerCard } from '../../guarantee/card.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope, Receipt } from '../../message.ts'
import { Ownership } from '../../ownership/ownership.ts'
import type { Runtime } from '../../runtime.ts'
import type { AnyTopic } from '../../topic.ts'
import { idReused, topicLimits } from '../../topic.ts'
import type { Assignment, Broker, SubscribeOptions } from '../broker.ts'
import { PartitionAssigner } from './partition-assigner.ts'
import { Wakeups } from './wakeups.ts'

/** Where the database is the broker's alone. */
const ownWindow = { ms: 7 * 24 * 3_600_000, maxIds: 10_000_000 } as const

export interface InDatabaseBrokerOptions {
  /** How long a silent consumer keeps its partitions; default 10 s. */
  readonly leaseMs?: number
}

/**
 * A broker made of tables: every partition an ordered log in a database Onefold already has. Engine-neutral code over
 * `Database`'s log. With the app's own database (the default) a message needs no hop at all: outbox and log are one.
 * Over another database it acknowledges into that one, as any outside broker would.
 */
export class InDatabaseBroker implements Broker {
  readonly database: Database<unknown>
  readonly card: BrokerCard
  readonly #shared: { readonly ownership: Ownership } | undefined
  readonly #leaseMs: number
  readonly #records = new Map<AnyTopic, TopicRecord>()
  #runtime: Runtime | undefined
  #ownership: Ownership | undefined
  #wakeups: Wakeups | undefined
  #schedule: Disposable | undefined
  #releasing = false

  constructor(
    database: Database<unknown>,
    options: InDatabaseBrokerOptions & { shared?: { readonly ownership: Ownership } } = {},
  ) {
    this.database = database
    this.#shared = options.shared
    this.#leaseMs = options.leaseMs ?? 10_000
    this.card = Object.freeze({
      kind: 'broker',
      name: `in-database (${database.card.name})`,
      version: database.card.version,
      claims: Object.freeze({
        order: 'per partition',
        redelivery: 'what was not settled',
        'may hold duplicates': false,
        'recognises repeats': true,
        'keeps order when it refuses': true,
        ...(options.shared === undefined ? { 'dedup window ms': ownWindow.ms, 'dedup window ids': ownWindow.maxIds } : {}),
        'gives offsets': true,
        'delayed delivery': true,
        'acknowledged means on disk': database.card.claims['committed means on disk'],
        'max data bytes': topicLimits.maxDataBytes,
      }),
    })
  }

  async open(runtime: Runtime): Promise<void> {
    this.#runtime = runtime
    if (this.#shared === undefined) await this.database.open({ runtime, dedupWindow: ownWindow, offsetsLeave: true })
    this.#wakeups ??= new Wakeups(this.database.changes)
  }

  async close(): Promise<void> {
    this.#schedule?.[Symbol.dispose]()
    this.#wakeups?.close()
    this.#wakeups = undefined
    if (this.#shared !== undefined) return
    await this.#ownership?.stop().catch(unlessMoved)
    await this.database.close()
  }

  async publish(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly (Receipt | OnefoldError)[]> {
    try {
      return (await this.#appendAtOnce(topic, envelopes)) ?? (await this.#append(topic, envelopes))
    } catch (error) {
      if (!isOnefoldError(error, 'COMMIT_UNKNOWN')) throw error
      // It may have committed. The same identities again: either they are duplicates now, or they go in.
      try {
        return await this.#append(topic, envelopes)
      } catch {
        throw error
      }
    }
  }

  async #appendAtOnce(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly (Receipt | OnefoldError)[] | undefined> {
    const { database } = this
    if (database.appendAtOnce === undefined) return undefined
    const { reached } = this.#ready()
    if (reached !== undefined) await reached('publish:begun')
    const statuses = await database.appendAtOnce(topic, envelopes)
    if (statuses === undefined) return undefined
    if (reached !== undefined) await reached('publish:committed')
    return receipts(topic, envelopes, statuses)
  }

  async #append(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly (Receipt | OnefoldError)[]> {
    const { reached } = this.#ready()
    const statuses = await this.database.write(
      async (session) => {
        if (reached !== undefined) await reached('publish:begun')
        let record = this.#records.get(topic)
        if (record === undefined) {
          record = await session.topics.declare(topic)
          this.#records.set(topic, record)
        }
        const answers = await session.log.append(record, envelopes)
        if (reached !== undefined) await reached('publish:appended')
        return answers
      },
      { what: `publish to ${topic.name}` },
    )
    if (reached !== undefined) await reached('publish:committed')
    return receipts(topic, envelopes, statuses)
  }

  /** Yields this process's share of the partitions, and more when others end. */
  async *subscribe(topic: AnyTopic, group: string, options: SubscribeOptions): AsyncIterable<Assignment> {
    const runtime = this.#ready()
    const ownership = await this.#owner()
    const subscription: Subscription = { topic: topic.name, group }
    const record = await this.database.write(
      async (session) => {
        const declared = await session.topics.declare(topic)
        if (this.#shared === undefined)
          await session.groups.declare(subscription, { startFrom: options.startFrom, semantics: 'acknowledged' })
        return declared
      },
      { what: `subscribe ${topic.name}/${group}` },
    )
    this.#schedule ??= runtime.every(25, () => void this.#releaseDue())
    const assigner = new PartitionAssigner({
      database: this.database,
      runtime,
      ownership,
      wakeups: this.#wakeups as Wakeups,
      subscription,
      partitions: record.partitions,
      from: options.from,
      acknowledges: this.#shared === undefined,
      signal: options.signal,
    })
    yield* assigner.assignments()
  }

  async #owner(): Promise<Ownership> {
    this.#ownership ??= this.#shared?.ownership ?? new Ownership(this.database, this.#ready(), this.#leaseMs)
    await this.#ownership.start()
    return this.#ownership
  }

  /** Delayed messages whose time has come get their offset. Any process may do it: the delete is the claim. */
  async #releaseDue(): Promise<void> {
    if (this.#releasing) return
    this.#releasing = true
    try {
      const runtime = this.#ready()
      const dueMs = await this.database.read((stores) => stores.schedule.nextDueMs())
      if (dueMs !== undefined && dueMs <= runtime.wallMs()) {
        await this.database.write((session) => session.schedule.release(runtime.wallMs(), 500), {
          what: 'release delayed messages',
        })
      }
    } catch (error) {
      if (isOnefoldError(error, 'MOVED_TO')) this.#schedule?.[Symbol.dispose]()
      // Else the next tick tries again: nothing is lost, the rows are still there.
    } finally {
      this.#releasing = false
    }
  }

  #ready(): Runtime {
    if (this.#runtime === undefined) throw new OnefoldError('APP_STOPPED', 'the broker is not open.')
    return this.#runtime
  }
}

function receipts(
  topic: AnyTopic,
  envelopes: readonly Envelope[],
  statuses: readonly AppendStatus[],
): readonly (Receipt | OnefoldError)[] {
  return envelopes.map(({ id, source }, index) => {
    const status = statuses[index]
    if (status instanceof OnefoldError) return status
    return status === 'id-reused' ? idReused(topic, id, source) : { status: status ?? 'accepted', id, source }
  })
}

/** In a database that was moved away nothing is left to be given back. */
function unlessMoved(error: unknown): void {
  if (!isOnefoldError(error, 'MOVED_TO')) throw error
}
