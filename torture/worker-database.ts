/** The database as a worker sees it, and the judge: an app on it, and the workload's statements for whichever engine it is. */
import { Pool } from 'pg'
import { inDatabaseBroker } from '../src/broker/in-database/index.ts'
import type { Database } from '../src/database/database.ts'
import { postgres } from '../src/database/postgres/index.ts'
import type { SqliteTx } from '../src/database/sqlite/index.ts'
import { sqlite } from '../src/database/sqlite/index.ts'
import type { App, AppEvent, Runtime } from '../src/index.ts'
import type { EngineAccess, EngineTx } from '../test/support/engine-access.ts'
import { numbered } from '../test/support/engine-access.ts'
import type { Setting } from '../test/support/torture-workload.ts'
import { appFile, appOn, brokerFile } from '../test/support/torture-workload.ts'
import type { Synchronous } from './engine.ts'

/** Where it is, as a process is told on its command line. */
export type WorkerDatabase =
  | { readonly engine: 'sqlite'; readonly folder: string; readonly synchronous: Synchronous }
  | {
      readonly engine: 'postgres'
      readonly url: string
      /** The broker's, where there is one. */
      readonly brokerUrl: string
      readonly synchronous: Synchronous
      readonly idleInTransactionMs: number
    }

/** By which the server's list of connections tells the workers from others. */
export const applicationName = 'onefold torture'

export interface Opened extends Pick<EngineAccess, 'write' | 'read'> {
  readonly app: App<EngineTx>
  /** Ends the connections, after the app is stopped. */
  close(): Promise<void>
}

export function openWorkerDatabase(
  config: WorkerDatabase,
  setting: Omit<Setting, 'folder'>,
  runtime: Runtime,
  onEvent: (event: AppEvent) => void,
): Opened {
  const connections: { end(): Promise<unknown> }[] = []
  const at = (place: 'app' | 'broker'): Database<EngineTx> =>
    config.engine === 'sqlite' ? sqliteAt(config, place) : postgresAt(config, place, connections)
  const broker = setting.topology === 'in-database' ? undefined : inDatabaseBroker(at('broker'), { leaseMs: setting.leaseMs })
  return {
    app: appOn(at('app'), broker, setting, runtime, onEvent),
    ...(config.engine === 'sqlite' ? ofSqlite : ofPg),
    close: async () => void (await Promise.all(connections.map((each) => each.end()))),
  }
}

function sqliteAt({ folder, synchronous }: WorkerDatabase & { engine: 'sqlite' }, place: 'app' | 'broker'): Database<EngineTx> {
  const file = place === 'app' ? appFile(folder) : brokerFile(folder)
  return sqlite(file, { synchronous }) as unknown as Database<EngineTx>
}

/** A pool for each: the app's and the broker's are different databases. */
function postgresAt(
  config: WorkerDatabase & { engine: 'postgres' },
  place: 'app' | 'broker',
  connections: { end(): Promise<unknown> }[],
): Database<EngineTx> {
  const url = place === 'app' ? config.url : config.brokerUrl
  const options = {
    migrations: 'apply',
    idleInTransactionMs: config.idleInTransactionMs,
    durability: config.synchronous === 'FULL' ? 'on' : 'off',
  } as const
  const pool = new Pool({ connectionString: url, max: 6, application_name: applicationName })
  connections.push(pool)
  return postgres(pool, options) as unknown as Database<EngineTx>
}

type Statements = Pick<Opened, 'write' | 'read'>

/** Done when they return, so that a handler of them is synchronous. */
const ofSqlite: Statements = {
  write: (tx, sql, ...params) => void (tx as unknown as SqliteTx).run(sql, ...params),
  read: (tx, sql, ...params) => (tx as unknown as SqliteTx).all(sql, ...params),
}

interface PgTx {
  query(text: string, params: unknown[]): Promise<{ rows: never[] }>
}

const ofPg: Statements = {
  write: async (tx, sql, ...params) => void (await (tx as unknown as PgTx).query(numbered(sql), params)),
  read: async (tx, sql, ...params) => (await (tx as unknown as PgTx).query(numbered(sql), params)).rows,
}
