/** A database file with published orders, a payment provider, and workers that are killed around their calls. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { inDatabaseBroker } from '../../src/broker/in-database/index.ts'
import type { SqliteTx } from '../../src/database/sqlite/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'
import type { App } from '../../src/index.ts'
import { onefold } from '../../src/index.ts'
import type { Point } from '../../src/points.ts'
import { callPoints, consumePoints } from '../../src/points.ts'
import { seededRandom } from '../../src/testing/index.ts'
import type { AppliedRow, CallHistory, Order } from './call-audit.ts'
import type { CallWorkerConfig } from './call-worker.ts'
import { orders as ordersTopic, paidTable } from './call-workload.ts'
import type { ProviderConfig } from './payment-ledger.ts'
import { PaymentProcess } from './payment-process.ts'
import type { Halt } from './torture-halt.ts'
import { removeFolder, temporaryFolder, until, Worker } from './torture-process.ts'

const usualProgram = fileURLToPath(new URL('./call-worker.ts', import.meta.url))

export interface CallSceneOptions {
  readonly orders: readonly Order[]
  readonly provider?: Partial<ProviderConfig>
  readonly worker: Partial<CallWorkerConfig> & Pick<CallWorkerConfig, 'rule'>
  /** Behind a broker outside the database, which repeats and reorders. */
  readonly outsideBroker?: boolean
  /** Another copy of the worker, on another copy of the source. */
  readonly program?: string
}

export class CallScene implements AsyncDisposable {
  readonly orders: readonly Order[]
  readonly provider: PaymentProcess
  /** Looks on, and acts for the person: it consumes nothing. */
  readonly app: App<SqliteTx>
  readonly #folder: string
  readonly #config: Omit<CallWorkerConfig, 'halt'>
  readonly #reader: DatabaseSync
  readonly #program: string
  #started = 0

  static async start({ orders, provider, worker, outsideBroker, program = usualProgram }: CallSceneOptions): Promise<CallScene> {
    const folder = temporaryFolder()
    const file = join(folder, 'app.db')
    const reader = new DatabaseSync(file, { timeout: 5_000 })
    reader.exec(`pragma journal_mode = wal; ${paidTable}`)
    const brokerFile = outsideBroker === true ? join(folder, 'broker.db') : undefined
    const broker = brokerFile === undefined ? {} : { broker: inDatabaseBroker(sqlite(brokerFile)) }
    const app = onefold({ database: sqlite(file), ...broker })
    await app.publishMany(
      ordersTopic,
      orders.map((data) => ({ data })),
    )
    const process = await PaymentProcess.start(provider)
    const config = { ...usual, ...worker, file, brokerFile, url: process.url }
    return new CallScene({ orders, provider: process, app, folder, config, reader, program })
  }

  private constructor(parts: {
    readonly orders: readonly Order[]
    readonly provider: PaymentProcess
    readonly app: App<SqliteTx>
    readonly folder: string
    readonly config: Omit<CallWorkerConfig, 'halt'>
    readonly reader: DatabaseSync
    readonly program: string
  }) {
    this.orders = parts.orders
    this.provider = parts.provider
    this.app = parts.app
    this.#folder = parts.folder
    this.#config = parts.config
    this.#reader = parts.reader
    this.#program = parts.program
  }

  worker(halt?: Halt, config: Partial<CallWorkerConfig> = {}): Worker {
    this.#started++
    return new Worker(this.#program, { ...this.#config, seed: this.#config.seed * 1_000 + this.#started, ...config, halt })
  }

  applied(): AppliedRow[] {
    return this.#reader.prepare('select id, key, number, charge, attempt from paid order by row').all() as unknown as AppliedRow[]
  }

  async attention(): Promise<string[]> {
    const items = await this.app.attention.list({ limit: 10_000 })
    return items.map((item) => item.envelope.id)
  }

  /** Every message is applied, with a person, or waits behind one that is. */
  async through(): Promise<boolean> {
    const done = new Set(this.applied().map((row) => row.id))
    if (this.orders.every((order) => done.has(order.id))) return true
    const { orders } = this
    const attention = new Set(await this.attention())
    const stopped = new Map<string, number>()
    for (const { id, key, number } of orders)
      if (attention.has(id)) stopped.set(key, Math.min(number, stopped.get(key) ?? number))
    return orders.every(({ id, key, number }) => done.has(id) || number >= (stopped.get(key) ?? number + 1))
  }

  /** Waits until every message is applied, with a person, or behind one that is. */
  async allThrough(workers: Iterable<Worker>, boundMs = 60_000): Promise<void> {
    await until(
      () => this.through(),
      () => `all are through: ${[...workers].map((worker) => worker.story()).join('\n')}`,
      boundMs,
    )
  }

  /** The person: looks into the provider's ledger and says of every unknown outcome what became of it. */
  async settleAll(): Promise<void> {
    const { charges } = await this.provider.settled()
    for (const { id, envelope } of await this.app.attention.list({ limit: 10_000 })) {
      const charge = charges.find((one) => one.reference === envelope.id)
      const as = charge === undefined ? ({ as: 'did-not-happen' } as const) : ({ as: 'happened', result: charge } as const)
      await this.app.attention.settle(id, { call: 'charge', ...as }, { by: 'Ada' })
    }
  }

  /** All there is to judge by, once nothing can be added to it by itself. */
  async history(): Promise<CallHistory> {
    const ledger = await this.provider.settled()
    return { orders: this.orders, ledger, applied: this.applied(), attention: await this.attention() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reader.close()
    await this.app.stop()
    await this.provider.stop()
    removeFolder(this.#folder)
  }
}

const usual: Omit<CallWorkerConfig, 'file' | 'url' | 'rule'> = {
  seed: 1,
  leaseMs: 1_000,
  timeoutMs: 250,
  concurrency: 20,
  maxAttempts: 100,
  backoffMs: 20,
  applyFails: 0,
  secondCallMs: 0,
}

export interface Kills {
  readonly seed: number
  /** Processes at the same time. */
  readonly workers: number
  /** At random points, and at random times. */
  readonly kills?: number
  /** Instead: at each of these in turn. */
  readonly points?: readonly Point[]
  /** The pass at which a worker dies is drawn from 1 to this. */
  readonly passes: number
  readonly boundMs?: number
}

export interface Killed {
  /** What each kill hit: a point and its pass, or 'any time'. */
  readonly killed: readonly string[]
  readonly stories: readonly string[]
}

const everyPoint: readonly Point[] = [...callPoints, ...callPoints, ...consumePoints]

/** Keeps workers running, kills them, starts others in their place, until all messages are through. */
export async function runUnderKills(scene: CallScene, options: Kills): Promise<Killed> {
  const random = seededRandom(options.seed, 'kills')
  const killed: string[] = []
  const stories: string[] = []
  const unexpected: string[] = []
  const running = new Set<Worker>()
  const hits = [...(options.points ?? [])]
  let over = false

  const start = (): void => {
    const inTurn = options.points !== undefined
    const point = inTurn ? hits.shift() : everyPoint[Math.floor(random() * everyPoint.length)]
    const mayKill = inTurn || killed.length + running.size < (options.kills ?? 0)
    const atPoint = point !== undefined && (inTurn || random() < 0.7)
    // Early passes more often: how many there are depends on what the others have left.
    const pass = 1 + Math.floor(random() ** 2 * options.passes)
    const afterMs = 100 + random() * 1_500
    const worker = scene.worker(mayKill && atPoint ? { at: point, pass, signal: 'SIGKILL' } : undefined)
    running.add(worker)
    // Also one that never gets to its point must go.
    if (mayKill && !inTurn) {
      void worker.until('started').then(
        () => setTimeout(() => worker.kill('SIGKILL'), afterMs),
        () => undefined,
      )
    }
    void worker.ended.then(({ code, signal }) => {
      running.delete(worker)
      stories.push(worker.story())
      if (signal === 'SIGKILL') killed.push(worker.said('halted')?.slice('halted '.length) ?? 'any time')
      else if (!over || code !== 0) unexpected.push(worker.story())
      if (!over) start()
    })
  }
  for (let index = 0; index < options.workers; index++) start()
  try {
    await until(
      async () => unexpected.length > 0 || (await scene.through()),
      () => `all are through: ${[...running].map((worker) => worker.story()).join('\n')}`,
      options.boundMs ?? 60_000,
    )
  } catch (error) {
    over = true
    for (const worker of running) worker.kill('SIGKILL')
    await Promise.all([...running].map((worker) => worker.ended))
    throw error
  }
  over = true
  await Promise.all([...running].map((worker) => worker.stop()))
  if (unexpected.length > 0) throw new Error(`ended, and nobody had killed it: ${unexpected.join('\n')}`)
  return { killed, stories }
}
