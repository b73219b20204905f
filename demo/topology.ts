import { join } from 'node:path'
import { inDatabaseBroker } from '../src/broker/in-database/index.ts'
import type { Semantics } from '../src/consume/consume-options.ts'
import type { SqliteTx } from '../src/database/sqlite/index.ts'
import { sqlite } from '../src/database/sqlite/index.ts'
import type { App } from '../src/index.ts'
import { onefold, topic } from '../src/index.ts'
import type { Runtime } from '../src/runtime.ts'
import type { UnreliableBroker } from '../src/testing/index.ts'
import { unreliableBroker } from '../src/testing/index.ts'
import type { TopologyName } from './options.ts'
import type { Summary } from './tables.ts'
import { applySummary, applyWebhook } from './tables.ts'
import type { Webhook } from './webhooks.ts'
import type { WorkerState } from './worker-state.ts'

/** The webhook's delivery id is the message's identity: that is how a repeat is recognised, wherever it comes from. */
export const webhooks = topic<Webhook>('webhooks', { id: (webhook) => webhook.delivery, key: (webhook) => webhook.repository })

/** No id of its own: were a webhook applied twice, two different summaries would go out, and the audit would see both. */
export const summaries = topic<Summary>('summaries', { key: (summary) => summary.repository })

export interface TopologyOptions {
  readonly topology: TopologyName
  readonly dir: string
  readonly seed: number
}

export const appFile = (dir: string): string => join(dir, 'app.db')
export const brokerFile = (dir: string): string => join(dir, 'broker.db')

/** How often the test broker misbehaves. */
export const misbehaviour = { duplicate: 0.15, reorder: 0.3, redeliver: 0.1, forget: 0.2 } as const

export interface DemoApp {
  readonly app: App<SqliteTx>
  readonly broker: UnreliableBroker | undefined
}

/**
 * in-database: one SQLite file is database and broker. test-broker: messages travel through another file, by a broker
 * that hands them over again and again; it strips offsets, so that only the inbox can tell a repeat.
 */
export function openApp({ topology, dir, seed }: TopologyOptions, runtime?: Runtime): DemoApp {
  const broker =
    topology === 'test-broker'
      ? unreliableBroker(inDatabaseBroker(sqlite(brokerFile(dir))), { seed, ...misbehaviour })
      : undefined
  const app = onefold({
    database: sqlite(appFile(dir)),
    ...(broker === undefined ? {} : { broker }),
    source: 'github',
    leaseMs: 3_000,
    ...(runtime === undefined ? {} : { runtime }),
  })
  return { app, broker }
}

const settings = { batchSize: 32, maxCrashes: 50 }

/** Both groups, with the promise asked for. `state` is told about each run of a handler. */
export function consume(app: App<SqliteTx>, semantics: Semantics, state: Pick<WorkerState, 'handled' | 'reached'>): void {
  if (semantics === 'effectively-once') {
    app.consume(webhooks, {
      group: 'totals',
      ...settings,
      apply(webhook, { tx, publish }) {
        state.handled()
        publish(summaries, applyWebhook(tx, webhook))
      },
    })
    app.consume(summaries, {
      group: 'board',
      ...settings,
      apply(summary, { tx }) {
        state.handled()
        applySummary(tx, summary)
      },
    })
    return
  }
  // The weaker promises: the effect is a transaction of the handler's own, which knows nothing of the delivery.
  app.consume(webhooks, {
    group: 'totals',
    semantics,
    ...settings,
    async receive(webhook) {
      state.handled()
      await app.transaction(({ tx, publish }) => {
        state.reached('demo:begun')
        publish(summaries, applyWebhook(tx, webhook))
      })
      state.reached('demo:committed')
    },
  })
  app.consume(summaries, {
    group: 'board',
    semantics,
    ...settings,
    async receive(summary) {
      state.handled()
      await app.transaction(({ tx }) => {
        state.reached('demo:begun')
        applySummary(tx, summary)
      })
      state.reached('demo:committed')
    },
  })
}
