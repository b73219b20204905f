import { join } from 'node:path'
import { Pool } from 'pg'
import { inDatabaseBroker } from '../src/broker/in-database/index.ts'
import type { Semantics } from '../src/consume/consume-options.ts'
import type { Database } from '../src/database/database.ts'
import { postgres } from '../src/database/postgres/index.ts'
import { sqlite } from '../src/database/sqlite/index.ts'
import type { App } from '../src/index.ts'
import { onefold, topic } from '../src/index.ts'
import type { Runtime } from '../src/runtime.ts'
import type { UnreliableBroker } from '../src/testing/index.ts'
import { unreliableBroker } from '../src/testing/index.ts'
import type { Place } from './database.ts'
import type { TopologyName } from './options.ts'
import { brokerSchema, postgresEffects } from './postgres-tables.ts'
import type { Effects, Summary } from './tables.ts'
import { sqliteEffects } from './tables.ts'
import type { Webhook } from './webhooks.ts'
import type { WorkerState } from './worker-state.ts'

/** The webhook's delivery id is the message's identity: that is how a repeat is recognised, wherever it comes from. */
export const webhooks = topic<Webhook>('webhooks', { id: (webhook) => webhook.delivery, key: (webhook) => webhook.repository })

/** No id of its own: were a webhook applied twice, two different summaries would go out, and the audit would see both. */
export const summaries = topic<Summary>('summaries', { key: (summary) => summary.repository })

export interface TopologyOptions {
  readonly topology: TopologyName
  readonly place: Place
  readonly seed: number
}

export const appFile = (dir: string): string => join(dir, 'app.db')
const brokerFile = (dir: string): string => join(dir, 'broker.db')

/** How often the test broker misbehaves. */
export const misbehaviour = { duplicate: 0.15, reorder: 0.3, redeliver: 0.1, forget: 0.2 } as const

type Handled = Pick<WorkerState, 'handled' | 'reached'>

export interface DemoApp {
  readonly app: App<unknown>
  readonly broker: UnreliableBroker | undefined
  /** Both groups, with the promise asked for. `state` is told about each run of a handler. */
  consume(semantics: Semantics, state: Handled): void
  /** After the app is stopped. */
  close(): Promise<void>
}

/**
 * in-database: one SQLite file, or one PostgreSQL database, is database and broker. test-broker: messages travel through another
 * one, by a broker that hands them over again and again; it strips offsets, so that only the inbox can tell a repeat.
 */
export function openApp(options: TopologyOptions, runtime?: Runtime): DemoApp {
  const { place } = options
  if (place.engine === 'sqlite')
    return open(options, runtime, {
      database: sqlite(appFile(place.dir)),
      brokerDatabase: () => sqlite(brokerFile(place.dir)),
      effects: sqliteEffects,
      close: async () => {},
    })
  const pools: Pool[] = []
  const at = (schema: string) => {
    const pool = new Pool({ connectionString: place.url, max: 6 })
    pools.push(pool)
    return postgres(pool, { schema, migrations: 'apply' })
  }
  return open(options, runtime, {
    database: at(place.schema),
    brokerDatabase: () => at(brokerSchema(place)),
    effects: postgresEffects(place),
    close: async () => void (await Promise.all(pools.map((pool) => pool.end()))),
  })
}

interface Engine<Tx> {
  readonly database: Database<Tx>
  readonly brokerDatabase: () => Database<Tx>
  readonly effects: Effects<Tx>
  readonly close: () => Promise<void>
}

function open<Tx>(
  { topology, seed }: TopologyOptions,
  runtime: Runtime | undefined,
  { database, brokerDatabase, effects, close }: Engine<Tx>,
): DemoApp {
  const broker =
    topology === 'test-broker' ? unreliableBroker(inDatabaseBroker(brokerDatabase()), { seed, ...misbehaviour }) : undefined
  const app = onefold({
    database,
    ...(broker === undefined ? {} : { broker }),
    source: 'github',
    leaseMs: 3_000,
    ...(runtime === undefined ? {} : { runtime }),
  })
  return {
    app: app as App<unknown>,
    broker,
    consume: (semantics, state) => consume(app, effects, semantics, state),
    close,
  }
}

const settings = { batchSize: 32, maxCrashes: 50 }

function consume<Tx>(app: App<Tx>, effects: Effects<Tx>, semantics: Semantics, state: Handled): void {
  if (semantics === 'effectively-once') {
    app.consume(webhooks, {
      group: 'totals',
      ...settings,
      apply(webhook, { tx, publish }) {
        state.handled()
        return followedBy(effects.applyWebhook(tx, webhook), (summary) => publish(summaries, summary))
      },
    })
    app.consume(summaries, {
      group: 'board',
      ...settings,
      apply(summary, { tx }) {
        state.handled()
        return effects.applySummary(tx, summary)
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
        return followedBy(effects.applyWebhook(tx, webhook), (summary) => publish(summaries, summary))
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
        return effects.applySummary(tx, summary)
      })
      state.reached('demo:committed')
    },
  })
}

/** At once where the value is there: SQLite's handlers are synchronous. */
function followedBy<T>(value: T | Promise<T>, then: (value: T) => void): void | Promise<void> {
  return value instanceof Promise ? value.then(then) : then(value)
}
