/** A PostgreSQL server for each arena, which crashes, and a proxy before it that cuts the workers' connections. */
import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Pool } from 'pg'
import type { PostgresServer } from '../scripts/engines/postgres.ts'
import { installHint, postgresPrograms, startPostgres } from '../scripts/engines/postgres.ts'
import { stopAfterwards } from '../scripts/engines/stop-afterwards.ts'
import type { ErrorCode } from '../src/index.ts'
import type { CommitCut, Direction } from './cutting-proxy.ts'
import { CuttingProxy } from './cutting-proxy.ts'
import type { ArenaPlan, Engine, SharedFault, Store, Synchronous } from './engine.ts'
import type { FaultKind } from './fault-kinds.ts'
import { oneOf } from './faults.ts'
import type { Rows } from './history.ts'
import { rowStatements } from './history.ts'
import type { Skip } from './machine.ts'
import { cannotDo } from './machine.ts'
import { pause } from './slot.ts'
import type { WorkerDatabase } from './worker-database.ts'
import { applicationName } from './worker-database.ts'

/** The least there is: what a frozen process holds is soon free. */
const idleInTransactionMs = 1_000
/** How long a COMMIT, or so many bytes, are waited for. */
const patienceMs = 1_500

/** Nothing here stops a second row: only Onefold does. */
export const postgresTables: readonly string[] = [
  'create table applied ("row" bigint generated always as identity primary key, id text not null, key text not null, number integer not null, attempt integer)',
  'create table total (key text primary key, orders integer not null, sum integer not null)',
  'create table heard ("row" bigint generated always as identity primary key, id text not null, key text not null, number integer not null)',
  'create table placed (id text primary key)',
  'create table paid ("row" bigint generated always as identity primary key, id text not null, key text not null, number integer not null, charge text, attempt integer)',
]

export interface PostgresEngineOptions {
  readonly scratch: string
  readonly synchronous: Synchronous
}

export class PostgresEngine implements Engine {
  readonly name = 'postgres'
  /** While the server is away, or the connection is cut. */
  readonly refusals: readonly string[] = ['COMMIT_UNKNOWN', 'DATABASE_BUSY', 'DATABASE_IO'] satisfies ErrorCode[]
  /** A step takes several round trips: on a busy machine many short leases would be lost again and again, and little be done. */
  readonly calmLeaseMs = 10_000
  readonly #options: PostgresEngineOptions

  constructor(options: PostgresEngineOptions) {
    this.#options = options
  }

  /** Inside a transaction sometimes longer than the server waits, and sometimes not. */
  freezeMs(leaseMs: number) {
    return {
      freeze: [1.2 * leaseMs, 2.2 * leaseMs],
      'freeze-in-transaction': [1.2 * leaseMs, 2 * idleInTransactionMs + leaseMs],
    } as const
  }

  async cannotDo(kinds: readonly FaultKind[]): Promise<Skip[]> {
    if (postgresPrograms() !== undefined) return cannotDo(kinds, this.#options.scratch, undefined)
    return kinds.map((kind) => ({ kind, reason: installHint, missing: 'program' }))
  }

  arenas(): readonly ArenaPlan[] {
    return (['in-database', 'test-broker'] as const).map((topology) => ({
      name: topology,
      topology,
      slots: 3,
      open: () => PostgresStore.open(join(this.#options.scratch, topology), this.#options.synchronous),
    }))
  }

  async cleanUp(): Promise<void> {}
}

type PostgresPlace = WorkerDatabase & { readonly engine: 'postgres' }

class PostgresStore implements Store {
  readonly direct: PostgresPlace
  readonly forWorkers: WorkerDatabase
  readonly #server: PostgresServer
  readonly #proxy: CuttingProxy
  readonly #pool: Pool
  readonly #synchronous: Synchronous
  readonly #stopped: () => void

  static async open(folder: string, synchronous: Synchronous): Promise<PostgresStore> {
    // The server runs as another user, who must get there.
    chmodSync(join(folder, '..'), 0o711)
    const stopped = stopAfterwards(folder)
    const server = await startPostgres({ folder, settings: { synchronous_commit: synchronous === 'FULL' } })
    const pool = new Pool({ connectionString: server.url, max: 2 })
    pool.on('error', () => {})
    for (const statement of ['create database broker', ...postgresTables]) await pool.query(statement)
    return new PostgresStore(server, await CuttingProxy.start(server.port), pool, synchronous, stopped)
  }

  private constructor(server: PostgresServer, proxy: CuttingProxy, pool: Pool, synchronous: Synchronous, stopped: () => void) {
    this.#server = server
    this.#proxy = proxy
    this.#pool = pool
    this.#synchronous = synchronous
    this.#stopped = stopped
    this.direct = this.#at(server.port)
    this.forWorkers = this.#at(proxy.port)
  }

  readonly faults: Store['faults'] = {
    'server-crash': async ({ name }) => {
      await this.#server.crash()
      await this.#server.restart()
      return { kind: 'server-crash', where: name }
    },
    'backend-ended': (_, random) => this.#endBackend(random),
    'cut-at-commit': (_, random) => this.#cutAtCommit(random),
    'cut-anywhere': async (_, random) => {
      const direction = oneOf<Direction>(['to the server', 'from the server'], random)
      const cut = await this.#proxy.cutAfter(Math.floor(random() * 20_000), direction, patienceMs)
      return cut === undefined ? undefined : { kind: 'cut-anywhere', where: direction }
    },
  }

  #at(port: number): PostgresPlace {
    const url = new URL(this.#server.url)
    url.port = `${port}`
    const brokerUrl = new URL(url)
    brokerUrl.pathname = '/broker'
    const synchronous = this.#synchronous
    return { engine: 'postgres', url: url.href, brokerUrl: brokerUrl.href, synchronous, idleInTransactionMs }
  }

  async #endBackend(random: () => number): ReturnType<SharedFault> {
    try {
      const { rows } = await this.#pool.query<{ pid: number; state: string; open: boolean }>(
        `select pid, state, xact_start is not null as open from pg_stat_activity where application_name = $1 order by pid`,
        [applicationName],
      )
      const open = rows.filter((row) => row.open)
      const backend = oneOf(open.length > 0 && random() < 0.7 ? open : rows, random)
      if (backend === undefined) return undefined
      const ended = await this.#pool.query<{ ended: boolean }>('select pg_terminate_backend($1) as ended', [backend.pid])
      return ended.rows[0]?.ended === true ? { kind: 'backend-ended', where: backend.state } : undefined
    } catch (error) {
      if (isAway(error)) return undefined
      throw error
    }
  }

  /** Held back it reaches a server that may have ended the transaction meanwhile, or may not, or never. */
  async #cutAtCommit(random: () => number): ReturnType<SharedFault> {
    // Where the answer is lost there is most to be wrong about.
    const how = oneOf<CommitCut>(['never-sent', 'answer-lost', 'answer-lost', 'held'], random)
    // Of a publisher's own transaction, who repeats it only if it is told that nothing was written; or of any; or a publish by itself.
    const chance = random()
    const of = chance < 0.5 ? { sent: 'insert into placed' } : chance < 0.75 ? { sent: '' } : 'publish'
    const cut = await this.#proxy.cutAtCommit(how, of, patienceMs)
    if (cut === undefined) return undefined
    const where = of === 'publish' ? 'publish, ' : ''
    if (how !== 'held') return { kind: 'cut-at-commit', where: `${where}${how}` }
    if (random() < 0.3) return { kind: 'cut-at-commit', where: `${where}held for good` }
    await pause(random() * 1.5 * idleInTransactionMs)
    cut.letGo()
    return { kind: 'cut-at-commit', where: `${where}held, sent later` }
  }

  async readRows(): Promise<Rows> {
    const read = Object.entries(rowStatements).map(async ([name, sql]) => [name, (await this.#pool.query(sql)).rows])
    return Object.fromEntries(await Promise.all(read)) as Rows
  }

  /** What the server itself has found. */
  async damage(): Promise<string[]> {
    return this.#logged(/ (?:PANIC|ERROR|FATAL): .*(?:invalid page|could not read block|missing chunk|corrupt|PANIC)/)
  }

  async keepEvidence(folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true })
    copyFileSync(join(this.#server.folder, 'log'), join(folder, 'server.log'))
    for (const url of [this.direct.url, this.direct.brokerUrl]) {
      const file = join(folder, `${new URL(url).pathname.slice(1)}.sql`)
      await promisify(execFile)(join(postgresPrograms() ?? '', 'pg_dump'), ['--file', file, url])
    }
  }

  async close(): Promise<void> {
    await this.#pool.end()
    await this.#proxy.stop()
    await this.#server.stop()
    this.#stopped()
  }

  #logged(what: RegExp): string[] {
    return readFileSync(join(this.#server.folder, 'log'), 'utf8')
      .split('\n')
      .filter((line) => what.test(line))
  }
}

/** The server has just crashed, or has not yet recovered. */
function isAway(error: unknown): boolean {
  const { code = '', message } = error as { code?: string; message: string }
  return code.startsWith('E') || code.startsWith('57P') || message.startsWith('Connection terminated')
}
