/**
 * A process that publishes or consumes the workload and halts where it is told to. Started as
 * `node torture-worker.ts '<config as JSON>'`; says on stdout, a line each, how far it is.
 */
import { appendFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import type { App, AppEvent, Semantics } from '../../src/index.ts'
import { call, isOnefoldError, RetryLater } from '../../src/index.ts'
import type { Halt } from './torture-halt.ts'
import { runtimeThatHalts, say } from './torture-halt.ts'
import type { Order, Setting } from './torture-workload.ts'
import {
  appFile,
  applyOrder,
  hearSummary,
  openApp,
  orders,
  publishOrder,
  receiptsFile,
  summaries,
  tables,
} from './torture-workload.ts'

export interface WorkerConfig extends Setting {
  readonly role: 'publish' | 'consume'
  readonly orders: readonly Order[]
  readonly halt?: Halt | undefined
  readonly semantics?: Semantics
  readonly batchSize?: number
  /** Consumes until it is stopped (a line on stdin), instead of until all is applied. */
  readonly stays?: boolean
  /** Says 'ready' and opens the file, which may be new, only when told to. */
  readonly waits?: boolean
  /** The handler has a declared call, of a few milliseconds, and it is there that the poison works. */
  readonly calls?: boolean
  /** The order that ends the process that applies it, and how. */
  readonly poison?: { readonly id: string; readonly kind: 'abort' | 'memory' | 'loop' }
  readonly maxCrashes?: number
  readonly transactionTimeoutMs?: number
  /** Orders whose first attempt throws, and when the next one may run. */
  readonly failing?: readonly string[]
  readonly failingForMs?: number
}

/** Publishes again, under the same identity, what could not be said to be published; says every error. */
async function publishAll(app: App<SqliteTx>, all: readonly Order[], receipts: string): Promise<void> {
  const publish = async (order: Order): Promise<void> => {
    for (;;) {
      try {
        return await publishOnce(order)
      } catch (error) {
        if (!isOnefoldError(error) || error.retry === 'never') throw error
        say(`error ${error.code} ${error.outcome} ${order.id}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
  }
  const publishOnce = async (order: Order): Promise<void> => {
    appendFileSync(receipts, `${await publishOrder(app, order)} ${order.id}\n`)
  }
  const byKey = Map.groupBy(all, (order) => order.key)
  await Promise.all(
    [...byKey.values()].map(async (ofKey) => {
      for (const order of ofKey) await publish(order)
    }),
  )
}

function consumeAll(app: App<SqliteTx>, config: WorkerConfig): void {
  const { semantics = 'effectively-once', failing = [], failingForMs = 0, poison } = config
  const settings = {
    batchSize: config.batchSize ?? 4,
    // By default kills at random points must not look like the fault of the message they happen to hit.
    maxCrashes: config.maxCrashes ?? 100,
    inlineAttempts: 1,
  }
  const ask = call(async (order: Order) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    if (order.id === poison?.id) swallow(poison.kind)
    return order.id
  })
  if (semantics === 'effectively-once') {
    app.consume(orders, {
      group: 'ledger',
      ...settings,
      transactionTimeoutMs: config.transactionTimeoutMs ?? 30_000,
      calls: (config.calls === true ? { ask } : {}) as Record<string, typeof ask>,
      apply(order, { tx, publish, attempt }) {
        if (order.id === poison?.id && config.calls !== true) swallow(poison.kind)
        if (failing.includes(order.id) && attempt === 1) throw new RetryLater({ afterMs: failingForMs })
        applyOrder(tx, order, attempt)
        publish(summaries, order)
      },
    })
    app.consume(summaries, { group: 'board', ...settings, apply: (summary, { tx }) => hearSummary(tx, summary) })
    return
  }
  app.consume(orders, {
    group: 'ledger',
    semantics,
    ...settings,
    receive(order, { attempt }) {
      if (order.id === poison?.id) swallow(poison.kind)
      return app.transaction(({ tx }) => applyOrder(tx, order, attempt))
    },
  })
}

function swallow(kind: 'abort' | 'memory' | 'loop'): never {
  say(`swallowed ${kind}`)
  if (kind === 'abort') process.abort()
  const hoard: number[][] = []
  for (;;) if (kind === 'memory') hoard.push(Array.from({ length: 10_000 }, () => hoard.length))
}

/** All applied and heard: asked of the workload's own tables. */
async function allHeard(folder: string, count: number): Promise<void> {
  const database = new DatabaseSync(appFile(folder))
  const left = database.prepare('select ? - (select count(distinct id) from heard) as left')
  while (Number(left.get(count)?.left) > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  database.close()
}

function line(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.once('data', () => resolve())
    process.stdin.once('end', () => resolve())
  })
}

function report({ kind, group, partition, id, message, error }: AppEvent): void {
  const outcome = isOnefoldError(error) ? `${error.code} ${error.outcome}` : ''
  say(`event ${kind} ${group ?? ''}/${partition ?? ''} ${id ?? ''} ${outcome} ${message.replaceAll('\n', ' ')}`)
}

const config = JSON.parse(process.argv[2] ?? '') as WorkerConfig
if (config.waits === true) {
  say('ready')
  await line()
}
let started = false
// What opening commits is no step of a message: passes count from here on.
const app = openApp(
  config,
  runtimeThatHalts(config.halt, () => started),
  report,
)
if (config.waits === true) {
  await app.transaction(({ tx }) => {
    for (const table of tables) tx.run(table)
  })
}
if (config.role === 'publish') {
  await app.status()
  started = true
  await publishAll(app, config.orders, receiptsFile(config.folder))
} else {
  consumeAll(app, config)
  started = true
  await app.start()
  say('started')
  if (config.stays === true) await line()
  else {
    if ((config.semantics ?? 'effectively-once') === 'effectively-once') await allHeard(config.folder, config.orders.length)
    await app.idle()
  }
}
say('done')
await app.stop()
process.exit(0)
