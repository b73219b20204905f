import type { AnyTopic } from '../../topic.ts'
import type { TopicRecord } from '../database.ts'
import type { OpenStatements } from './open-statements.ts'

export interface PostgresTopicRecord extends TopicRecord {
  readonly topic: number
  /** Global partition numbers, by partition. */
  readonly numbers: readonly number[]
}

/**
 * Numbers of committed rows that stay what they are, remembered for the whole process. What a transaction has made itself it
 * remembers for itself, until it has committed.
 */
export class Known {
  readonly topics = new Map<string, PostgresTopicRecord>()
  /** Topics of this program that have been checked against what is fixed. */
  readonly declared = new Map<AnyTopic, PostgresTopicRecord>()
  readonly subscriptions = new Map<string, number>()
  /** Dedup windows by topic and group. */
  readonly windows = new Map<string, number>()
  /** In which life of the server a partition (`topic/number`) was read last. Not forgotten with the rest. */
  readonly lives = new Map<string, string | undefined>()

  /** Somebody has changed or removed what does not often change. */
  clear(): void {
    this.topics.clear()
    this.declared.clear()
    this.subscriptions.clear()
    this.windows.clear()
  }

  /** Takes over what a transaction has made, once it is committed. */
  adopt(made: Known): void {
    for (const [name, record] of made.topics) this.topics.set(name, record)
    for (const [topic, record] of made.declared) this.declared.set(topic, record)
    for (const [name, number] of made.subscriptions) this.subscriptions.set(name, number)
    for (const [name, number] of made.windows) this.windows.set(name, number)
  }
}

/** What all stores of one database share, and what is of one transaction. */
export interface StoreContext {
  readonly sql: import('./sql.ts').Sql
  /** Of the process: committed. */
  readonly known: Known
  /** Of this transaction. */
  readonly made: Known
  /** As `Changes.onChange` tells it. */
  readonly touched: Set<string>
  readonly wallMs: () => number
  /** Offsets are only used together with what is committed here: giving them need not be on disk by itself. */
  readonly relaxedOffsets: boolean
  /** Of the server, when this transaction began. */
  readonly life: string | undefined
  /** The transaction's number, where we began it. */
  readonly xid?: string | undefined
  /** Of one on a connection of our own. */
  readonly open?: OpenStatements | undefined
}
