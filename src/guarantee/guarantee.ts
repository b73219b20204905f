/**
 * The guarantee of one application as it is configured: data, composed from cards and declarations, never from a running
 * process. What `says`, `holds` and `doesNotHold` say is for people; everything else is fact and goes into snapshots.
 */
import type { CallRule } from '../call.ts'
import type { Semantics } from '../consume/consume-options.ts'
import type { Order } from '../topic.ts'
import type { BrokerClaims, CallClaims, DatabaseClaims } from './card.ts'

export interface Guarantee {
  /** Of this document's shape. */
  readonly format: 1
  /** Named with `source`; null: every topic's own name is the source of its messages. */
  readonly source: string | null
  readonly database: DatabaseGuarantee
  readonly broker: BrokerGuarantee
  readonly failureModel: {
    readonly covered: readonly string[]
    readonly notCovered: readonly string[]
  }
  /** By name. What the app only publishes to is known here once it has been used. */
  readonly topics: readonly TopicGuarantee[]
  /** By topic, then group. */
  readonly consumers: readonly ConsumerGuarantee[]
  /** Why `start()` will refuse. */
  readonly refusals: readonly StartRefusal[]
}

export interface DatabaseGuarantee {
  readonly name: string
  readonly version?: string | undefined
  readonly claims: DatabaseClaims
  readonly says: readonly string[]
  readonly weakenedBy: readonly Weakening[]
}

export interface BrokerGuarantee {
  readonly name: string
  readonly version?: string | undefined
  /** The database is its own broker: the log is the outbox, and there is no hop. */
  readonly isDatabase: boolean
  readonly claims: BrokerClaims
  readonly says: readonly string[]
  readonly weakenedBy: readonly Weakening[]
}

/** A line of configuration that gives up part of what could be promised. */
export interface Weakening {
  readonly option: string
  /** As it is set; 'absent' where it is not. */
  readonly value: string
  /** The call that takes the option. */
  readonly where: string
  readonly says: string
}

/** A combination that cannot keep what is asked for. */
export interface StartRefusal {
  readonly topic: string
  readonly group: string
  /** To be changed. */
  readonly option: string
  readonly says: string
}

export interface TopicGuarantee {
  readonly name: string
  readonly hasSchema: boolean
  readonly identity: { readonly from: 'id function' | 'publish option, or a fresh UUID'; readonly says: string }
  readonly idReuse: { readonly is: 'error' | 'ignore'; readonly says: string }
  readonly order: { readonly kind: Order; readonly keyed: boolean; readonly says: string }
  /** Null where the broker decides. */
  readonly retention: { readonly ms: number | null; readonly says: string }
  /** In which a repeated publish is recognised; null where it never is. */
  readonly dedupWindow: { readonly ms: number | null; readonly maxIds: number | null; readonly says: string }
  readonly weakenedBy: readonly Weakening[]
}

export interface ConsumerGuarantee {
  readonly topic: string
  readonly group: string
  readonly semantics: Semantics
  readonly handler: 'apply' | 'applyBatch' | 'receive'
  readonly startFrom: 'earliest' | 'latest'
  readonly holds: readonly string[]
  readonly doesNotHold: readonly string[]
  readonly order: { readonly kind: Order; readonly says: string }
  readonly window: WindowGuarantee
  readonly durability: { readonly onDisk: boolean; readonly says: string }
  readonly attempts: AttemptsGuarantee
  /** What happens to the messages behind one that waits. */
  readonly held: {
    readonly until: 'applied or a person has acted' | 'applied or dead letter' | 'nothing waits'
    readonly says: string
  }
  readonly calls: readonly CallGuarantee[]
  /** All that weakens this consumer: its own options, and those of its database, broker, topic and calls. */
  readonly weakenedBy: readonly Weakening[]
}

/** By what, and how far back, a message received before is recognised. */
export interface WindowGuarantee {
  /**
   * 'log': identities are recognised at publish and every message has one offset · 'broker': the same, in the broker's own
   * window · 'inbox': the group remembers identities · 'nothing': it runs again.
   */
  readonly recognisedBy: 'log' | 'broker' | 'inbox' | 'nothing'
  readonly ms: number | null
  readonly maxIds: number | null
  /** What becomes of a repeat that is older. */
  readonly older: string
  /** A repeat, on the way, of what an outbox of Onefold has sent: known by the number of its row for ever, or as any other is. */
  readonly sentByOutbox: 'for ever' | 'as any other'
  readonly says: string
}

export interface AttemptsGuarantee {
  readonly maxAttempts: number
  readonly inlineAttempts: number
  readonly backoffMs: number
  readonly maxBackoffMs: number
  /** Bound of all delays between attempts together, unless a handler asks for longer with `RetryLater`. */
  readonly delaysAtMostMs: number
  /** Bound of one attempt (or of its transaction). */
  readonly timeoutMs: number
  readonly maxCrashes: number
  readonly afterTheLast: 'hold' | 'skip' | 'lost'
  readonly says: string
}

export interface CallGuarantee {
  readonly name: string
  readonly rule: CallRule
  readonly whenFailed: CallClaims['whenFailed']
  readonly timeoutMs: number
  readonly conditional: boolean
  readonly resultIsChecked: boolean
  readonly holds: readonly string[]
  readonly doesNotHold: readonly string[]
  readonly weakenedBy: readonly Weakening[]
}
