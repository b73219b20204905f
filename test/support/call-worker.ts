/**
 * A process whose consumer charges cards, and halts where it is told to. Started as `node call-worker.ts '<config as JSON>'`;
 * says on stdout, a line each, how far it is, and stops when its stdin ends.
 */
import { once } from 'node:events'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { CallContext, CallOptions } from '../../src/index.ts'
import { call, onefold } from '../../src/index.ts'
import { seededRandom } from '../../src/testing/index.ts'
import type { Order } from './call-audit.ts'
import type { Rule } from './call-workload.ts'
import { callGroup, misbehaving, orders } from './call-workload.ts'
import type { Charge } from './payment-client.ts'
import { PaymentClient } from './payment-client.ts'
import type { Halt } from './torture-halt.ts'
import { haltNow, runtimeThatHalts, say } from './torture-halt.ts'

export interface CallWorkerConfig {
  readonly file: string
  /** Another file, behind a broker that repeats and reorders; without: the file is database and broker. */
  readonly brokerFile?: string | undefined
  /** Of the payment provider. */
  readonly url: string
  readonly rule: Rule
  readonly seed: number
  readonly leaseMs: number
  /** How long an answer is waited for. */
  readonly timeoutMs: number
  readonly concurrency: number
  readonly maxAttempts: number
  readonly backoffMs: number
  /** Chance that `apply` throws although the call has happened. */
  readonly applyFails: number
  /** A second call of every message, which takes so long; 0: there is none. */
  readonly secondCallMs: number
  /** Freezes in the call of this order, before the first byte is sent. */
  readonly freezesBefore?: string
  readonly halt?: Halt | undefined
}

const config = JSON.parse(process.argv[2] ?? '') as CallWorkerConfig
const client = new PaymentClient(config.url, `${process.pid}`)
const random = seededRandom(config.seed)

const purchase = ({ id, key }: Order) => ({ reference: id, key })

let frozen = false

function charge(order: Order, context: CallContext): Promise<Charge> {
  if (order.id === config.freezesBefore && !frozen) {
    frozen = true
    haltNow('SIGSTOP', `before the request for ${order.id}`)
    // As by a client that cannot be told to stop.
    return client.charge(purchase(order), { ...context, signal: new AbortController().signal })
  }
  return client.charge(purchase(order), context)
}

const whenUnknown: Record<Rule, NonNullable<CallOptions<Order, Charge>['whenUnknown']>> = {
  repeat: 'repeat',
  'ask-person': 'ask-person',
  'probe-and-void': async (_order, { token, signal }) => {
    const charge = await client.void(token, signal)
    return charge === undefined ? 'voided' : { happened: charge }
  },
  'probe-only': async (order, { signal }) => {
    const charge = await client.find(order.id, signal)
    return charge === undefined ? 'did-not-happen' : { happened: charge }
  },
}

let started = false
const app = onefold({
  database: sqlite(config.file),
  ...(config.brokerFile === undefined ? {} : { broker: misbehaving(config.brokerFile, config) }),
  leaseMs: config.leaseMs,
  runtime: runtimeThatHalts(config.halt, () => started),
  onEvent: ({ kind, partition, id, message }) =>
    say(`event ${kind} ${partition ?? ''} ${id ?? ''} ${message.replaceAll('\n', ' ')}`),
})
app.consume(orders, {
  group: callGroup,
  concurrency: config.concurrency,
  maxAttempts: config.maxAttempts,
  backoffMs: config.backoffMs,
  maxBackoffMs: Math.max(1, 4 * config.backoffMs),
  // Kills at random points must not look like the fault of the message they happen to hit.
  maxCrashes: 100,
  batchSize: 20,
  calls: {
    charge: call(charge, { whenUnknown: whenUnknown[config.rule], timeoutMs: config.timeoutMs }),
    second: call(() => new Promise((resolve) => setTimeout(resolve, config.secondCallMs)), {
      when: () => config.secondCallMs > 0,
    }),
  },
  apply({ id, key, number }, { tx, calls, attempt }) {
    if (random() < config.applyFails) throw new Error('apply failed')
    tx.run(
      'insert into paid (id, key, number, charge, attempt) values (?, ?, ?, ?, ?)',
      id,
      key,
      number,
      calls.charge.id ?? null,
      attempt,
    )
  },
})
started = true
await app.start()
say('started')
process.stdin.resume()
await once(process.stdin, 'end')
await app.stop()
say('stopped')
process.exit(0)
