import type { AnyCall, CallRule } from '../call.ts'

/**
 * What an engine or a declared call claims about itself, as data. `explain()` composes cards into the guarantee of a whole
 * topology, so a claim here must be one that a test has tried to break. The names of claims are stable: snapshots hold them.
 */
export type Card = DatabaseCard | BrokerCard | CallCard

export interface DatabaseCard {
  readonly kind: 'database'
  /** The engine: 'sqlite'. */
  readonly name: string
  /** Of the engine, where it is known without opening anything. */
  readonly version?: string | undefined
  readonly claims: DatabaseClaims
}

export interface DatabaseClaims {
  /** A commit that was answered survives the loss of power. False: it survives the end of the process only. */
  readonly 'committed means on disk': boolean
  /** The option that decides it, what it is set to here, and what makes it true. */
  readonly 'durability option': string
  readonly 'durability is set to': string
  readonly 'durable when set to': string
  /** Writing transactions open at the same time. */
  readonly 'transactions at a time': number | 'many'
  /** Several processes may use it at the same time. */
  readonly 'several processes': boolean
  /** What a process that is stopped inside a transaction (SIGSTOP, a debugger) holds up, and how it shows. */
  readonly 'frozen inside a transaction': string
  /** Everything that can be written through ends with the handler it was given to. False: the user holds a handle beside it. */
  readonly 'handle is revoked': boolean
  /** What becomes of a write through such a handle whose await was forgotten, and what to do about it. */
  readonly 'an unawaited write'?: {
    readonly option: string
    readonly value: string
    readonly where: string
    readonly says: string
  }
  /** Places it is refused on when it is opened; '' for none. */
  readonly refuses: string
}

export interface BrokerCard {
  readonly kind: 'broker'
  /** The engine: 'in-database (sqlite)'. */
  readonly name: string
  readonly version?: string | undefined
  readonly claims: BrokerClaims
}

export interface BrokerClaims {
  /** In which order messages are handed over the first time. */
  readonly order: 'per partition' | 'none'
  /** What may be handed over again. */
  readonly redelivery: 'what was not settled' | 'also what was settled'
  /** One identity may be handed over more than once for other reasons than a missing acknowledgement. */
  readonly 'may hold duplicates': boolean
  /** It answers a repeated publish of one identity with 'duplicate'. */
  readonly 'recognises repeats': boolean
  /**
   * In one call of `publish` it takes no message after an earlier one of the same key that it has refused for now. False: an outbox
   * hands it one message of a key at a time.
   */
  readonly 'keeps order when it refuses': boolean
  /** How long and how many; absent where the app's own `dedupWindow` applies. */
  readonly 'dedup window ms'?: number
  readonly 'dedup window ids'?: number
  /** Deliveries have a position that the core can commit together with the effect. */
  readonly 'gives offsets': boolean
  readonly 'delayed delivery': boolean
  /** A message it has acknowledged survives the loss of power. */
  readonly 'acknowledged means on disk': boolean
  /** The largest message it takes, in bytes of JSON. */
  readonly 'max data bytes': number
}

export interface CallCard {
  readonly kind: 'call'
  /** As the consumer declares it: its identity in the journal. */
  readonly name: string
  readonly claims: CallClaims
}

export interface CallClaims {
  /** What happens when no answer came. */
  readonly rule: CallRule
  /** What happens when the other side said no. */
  readonly whenFailed: 'fail-attempt' | 'apply'
  /** How long an answer is waited for. */
  readonly timeoutMs: number
  /** Made for some messages only (`when`). */
  readonly conditional: boolean
  /** What is remembered of an answer is checked by a schema. */
  readonly 'result is checked': boolean
}

/** The card of a declared call. */
export function callCard(name: string, call: AnyCall): CallCard {
  return Object.freeze({
    kind: 'call',
    name,
    claims: Object.freeze({
      rule: call.rule,
      whenFailed: call.whenFailed,
      timeoutMs: call.timeoutMs,
      conditional: call.when !== undefined,
      'result is checked': call.result !== undefined,
    }),
  })
}
