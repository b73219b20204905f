/**
 * A process that publishes and consumes on one database until it is told to stop. Started as `node worker.ts '<config as JSON>'`;
 * says on stdout, a line each, what it was told, and takes orders as lines of JSON on stdin.
 */
import { createInterface } from 'node:readline'
import type { AppEvent } from '../src/index.ts'
import { call, isOnefoldError } from '../src/index.ts'
import { seededRandom } from '../src/testing/index.ts'
import type { Context, EngineTx } from '../test/support/engine-access.ts'
import { handler } from '../test/support/engine-access.ts'
import { PaymentClient } from '../test/support/payment-client.ts'
import { ShiftedRuntime } from '../test/support/shifted-runtime.ts'
import type { Halt } from '../test/support/torture-halt.ts'
import { Halting, say } from '../test/support/torture-halt.ts'
import type { Order, Setting } from '../test/support/torture-workload.ts'
import { isPlaced, orders, summaries } from '../test/support/torture-workload.ts'
import type { OpenKey } from './publications.ts'
import type { WorkerDatabase } from './worker-database.ts'
import { openWorkerDatabase } from './worker-database.ts'

export interface WorkerConfig extends Omit<Setting, 'folder' | 'synchronous'> {
  readonly database: WorkerDatabase
  readonly publish: readonly OpenKey[]
  /** Undefined: the consumers are at-least-once and call nobody. */
  readonly providerUrl: string | undefined
  /** How far its wall clock is ahead. */
  readonly wallAheadMs: number
}

/** A line on stdin. */
export type Instruction =
  | { readonly arm: Halt | null }
  | { readonly wallMs: number; readonly monotonicMs: number }
  | { readonly publish: OpenKey }
  | { readonly hurry: true }

const isCharged = (order: Order): boolean => order.number % 3 === 0
/** Its first attempt fails. */
const isFailing = (order: Order): boolean => order.number === 7 && Number(order.key.slice(1)) % 4 === 1

const config = JSON.parse(process.argv[2] ?? '') as WorkerConfig
const random = seededRandom(config.seed, 'pace')
const halting = new Halting()
const clocks = new ShiftedRuntime()
clocks.wallAheadMs = config.wallAheadMs
let hurry = false

const { app, write, read } = openWorkerDatabase(config.database, config, { ...clocks.runtime, reached: halting.reached }, report)
const settings = {
  batchSize: 8,
  inlineAttempts: 1,
  maxAttempts: 100,
  backoffMs: 100,
  maxBackoffMs: 1_000,
  // Kills at random points must not look like the fault of the message they happen to hit.
  maxCrashes: 100,
}
if (config.providerUrl === undefined) consumeAtLeastOnce()
else consumeEffectivelyOnce(new PaymentClient(config.providerUrl, `${process.pid}`))

const stopped = listen()
try {
  await app.start()
} catch (error) {
  // Whoever runs the program starts it again.
  if (!isOnefoldError(error)) throw error
  say(`refused ${error.code} ${error.outcome} ${error.message.replaceAll('\n', ' ')}`)
  console.error(error)
  process.exit(75)
}
say('started')
for (const key of config.publish) void publishKey(key)
await stopped
await app.stop()
say('stopped')
process.exit(0)

function consumeEffectivelyOnce(client: PaymentClient): void {
  app.consume(orders, {
    group: 'ledger',
    ...settings,
    apply: handler(function* (order: Order, { tx, publish, attempt }: Context) {
      if (isFailing(order) && attempt === 1) throw new Error('the first attempt fails')
      yield* applyOrder(tx, order, attempt)
      publish(summaries, order)
    }),
  })
  app.consume(summaries, {
    group: 'board',
    ...settings,
    apply: ({ id, key, number }, { tx }) => write(tx, 'insert into heard (id, key, number) values (?, ?, ?)', id, key, number),
  })
  app.consume(orders, {
    group: 'billing',
    ...settings,
    concurrency: 20,
    calls: {
      charge: call((order: Order, context) => client.charge({ reference: order.id, key: order.key }, context), {
        when: isCharged,
        timeoutMs: 1_000,
      }),
      // The answers of one message come far apart, so that the first is recorded before the second is there.
      second: call(() => new Promise<void>((resolve) => setTimeout(resolve, 100)), { when: (order) => order.number % 6 === 0 }),
    },
    apply: ({ id, key, number }, { tx, calls, attempt }) =>
      write(
        tx,
        'insert into paid (id, key, number, charge, attempt) values (?, ?, ?, ?, ?)',
        ...[id, key, number, calls.charge?.id ?? null, attempt],
      ),
  })
}

function consumeAtLeastOnce(): void {
  app.consume(orders, {
    group: 'ledger',
    semantics: 'at-least-once',
    ...settings,
    receive: (order, { attempt }) =>
      app.transaction(
        handler(function* ({ tx }: { readonly tx: EngineTx }) {
          yield* applyOrder(tx, order, attempt)
        }),
      ),
  })
}

function* applyOrder(tx: EngineTx, { id, key, number }: Order, attempt: number): Generator<unknown, void> {
  yield write(tx, 'insert into applied (id, key, number, attempt) values (?, ?, ?, ?)', id, key, number, attempt)
  yield write(
    tx,
    `insert into total (key, orders, sum) values (?, 1, ?)
     on conflict (key) do update set orders = total.orders + 1, sum = total.sum + excluded.sum`,
    key,
    number,
  )
}

/** Directly, or with the publisher's own row in one transaction. Told 'duplicate' where it was there already. */
async function publishOrder(order: Order): Promise<'accepted' | 'duplicate'> {
  if (!isPlaced(order)) return (await app.publish(orders, order)).status as 'accepted' | 'duplicate'
  return app.transaction(
    handler(function* ({ tx, publish }: Pick<Context, 'tx' | 'publish'>) {
      const placed: unknown[] = yield read(tx, 'insert into placed (id) values (?) on conflict do nothing returning id', order.id)
      if (placed.length === 0) return 'duplicate'
      publish(orders, order)
      return 'accepted'
    }),
  )
}

/** In order, and each again under the same identity until the answer is known. */
async function publishKey({ key, next, last }: OpenKey): Promise<void> {
  const burst = random() < 0.2
  for (let number = next; number <= last; ) {
    const order = { id: `${key}-${number}`, key, number }
    try {
      const status = await publishOrder(order)
      say(`ack ${status} ${order.id}`)
      number++
      if (!burst) await pause(random() * 600)
    } catch (error) {
      if (!isOnefoldError(error)) throw error
      say(`error ${error.code} ${error.outcome} ${order.id}`)
      if (error.code === 'APP_STOPPED') return
      if (error.retry === 'never') throw error
      await pause(20)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, hurry ? Math.min(ms, 20) : ms))
}

/** Resolves when stdin ends: also when whoever drives this process is gone. */
function listen(): Promise<void> {
  return new Promise((resolve) => {
    const lines = createInterface({ input: process.stdin })
    lines.on('line', (line) => {
      const told = JSON.parse(line) as Instruction
      if ('arm' in told) halting.arm(told.arm ?? undefined)
      else if ('wallMs' in told) {
        clocks.wallAheadMs += told.wallMs
        clocks.monotonicAheadMs += told.monotonicMs
      } else if ('publish' in told) void publishKey(told.publish)
      else hurry = true
    })
    lines.on('close', resolve)
  })
}

function report({ kind, group, partition, id, message, error }: AppEvent): void {
  const outcome = isOnefoldError(error) ? `${error.code} ${error.outcome}` : ''
  say(`event ${kind} ${group ?? ''}/${partition ?? ''} ${id ?? ''} ${outcome} ${message.replaceAll('\n', ' ')}`)
}
