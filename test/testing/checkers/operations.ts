/** Histories in few words: topic 'orders', group 'ledger', one producer, all of one key, unless told otherwise. */
import type {
  AttentionOperation,
  ChargeOperation,
  ConsumerOperation,
  EffectOperation,
  EndOperation,
  FactOperation,
  FaultOperation,
  InboxOperation,
  MessageName,
  MessageOfGroup,
  Operation,
  PersonOperation,
  PublishOperation,
  RequestOperation,
  SettleOperation,
  SnapshotOperation,
} from '../../../src/testing/index.ts'

type More<O extends Operation> = Partial<Omit<O, 'op'>>

const ofGroup = { topic: 'orders', group: 'ledger' } as const

export const nameOf = (identity: string): MessageName => ({ topic: 'orders', identity })
export const inGroup = (identity: string): MessageOfGroup => ({ ...ofGroup, identity })

export const publish = (identity: string, more: More<PublishOperation> = {}): PublishOperation => ({
  op: 'publish',
  topic: 'orders',
  identity,
  outcome: 'happened',
  key: 'k',
  producer: 'p',
  ...more,
})

export const effect = (identity: string, more: More<EffectOperation> = {}): EffectOperation => ({
  op: 'effect',
  ...ofGroup,
  identity,
  outcome: 'happened',
  ...more,
})

export const consumer: ConsumerOperation = { op: 'consumer', ...ofGroup }
export const end: EndOperation = { op: 'end', quiet: true }
export const endWaiting = (...identities: string[]): EndOperation => ({ ...end, waiting: identities.map(inGroup) })

export const inbox = (identity: string, more: More<InboxOperation> = {}): InboxOperation => ({
  op: 'inbox',
  ...ofGroup,
  identity,
  ...more,
})

export const attention = (identity: string, more: More<AttentionOperation> = {}): AttentionOperation => ({
  op: 'attention',
  ...ofGroup,
  identity,
  kind: 'dead-letter',
  ...more,
})

export const person = (
  action: PersonOperation['action'],
  identity: string,
  more: More<PersonOperation> = {},
): PersonOperation => ({ op: 'person', action, ...ofGroup, identity, by: 'ann', outcome: 'happened', ...more })

export const request = (identity: string, more: More<RequestOperation> = {}): RequestOperation => ({
  op: 'request',
  ...ofGroup,
  identity,
  call: 'pay',
  token: `token of ${identity}`,
  outcome: 'happened',
  ...more,
})

export const charge = (identity: string, more: More<ChargeOperation> = {}): ChargeOperation => ({
  op: 'charge',
  ...ofGroup,
  identity,
  call: 'pay',
  token: `token of ${identity}`,
  id: `charge of ${identity}`,
  ...more,
})

export const settle = (identity: string, as: SettleOperation['as'], more: More<SettleOperation> = {}): SettleOperation => ({
  op: 'settle',
  ...ofGroup,
  identity,
  call: 'pay',
  token: `token of ${identity}`,
  as,
  ...more,
})

export const fact = (name: string, more: More<FactOperation> = {}): FactOperation => ({ op: 'fact', fact: name, ...more })
export const fault = (ends?: string): FaultOperation => ({
  op: 'fault',
  fault: 'SIGKILL',
  ...(ends === undefined ? {} : { ends }),
})
export const snapshot = (state: unknown, more: More<SnapshotOperation> = {}): SnapshotOperation => ({
  op: 'snapshot',
  of: 'balances',
  state,
  ...more,
})
