import type { AttentionKind, AttentionReason } from '../../src/attention/attention-store.ts'
import type { NewParked } from '../../src/consume/parked-store.ts'
import type { Envelope } from '../../src/message.ts'

export const subscription = { topic: 'orders', group: 'ship' }

export const envelope = (id: string, key: string | undefined = 'a', more: Partial<Envelope> = {}): Envelope => ({
  id,
  source: 's',
  key,
  type: 'orders',
  timeMs: 1,
  headers: {},
  json: `{"id":"${id}"}`,
  ...more,
})

export const parked = (id: string, state: NewParked['state'], more: Partial<NewParked> & { key?: string } = {}): NewParked => ({
  envelope: envelope(id, more.key ?? 'a'),
  state,
  attempts: 1,
  crashes: 0,
  dueMs: 0,
  lane: more.key ?? 'a',
  ...more,
})

export const reason = (fingerprint = 'f', kind: AttentionKind = 'dead-letter'): AttentionReason => ({
  kind,
  fingerprint,
  errorName: 'Error',
  errorMessage: `of ${fingerprint}`,
  errorStack: 'at once',
})
