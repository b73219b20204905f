import type { AnyCall } from '../call.ts'
import type { Semantics } from '../consume/consume-options.ts'
import type { DedupWindow } from '../database/database.ts'
import type { AnyTopic } from '../topic.ts'
import type { BrokerCard, DatabaseCard } from './card.ts'

/** All that the guarantee of an app rests on. */
export interface Topology {
  readonly source: string | undefined
  readonly database: DatabaseCard
  readonly broker: BrokerCard
  /** The database is its own broker. */
  readonly brokerIsDatabase: boolean
  readonly dedupWindow: DedupWindow
  readonly topics: readonly AnyTopic[]
  readonly consumers: readonly DeclaredConsumer[]
}

/** A consumer as it was declared, every option with its default. */
export interface DeclaredConsumer {
  readonly topic: AnyTopic
  readonly group: string
  readonly handler: 'apply' | 'applyBatch' | 'receive'
  readonly settings: {
    readonly semantics: Semantics
    readonly startFrom: 'earliest' | 'latest'
    readonly maxAttempts: number
    readonly inlineAttempts: number
    readonly backoffMs: number
    readonly maxBackoffMs: number
    readonly maxCrashes: number
    readonly onExhausted: 'hold' | 'skip'
    readonly timeoutMs: number
  }
  readonly calls: Readonly<Record<string, AnyCall>>
}
