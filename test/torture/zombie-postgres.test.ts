import { fileURLToPath } from 'node:url'
import type { Pool } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { nodeRuntime } from '../../src/runtime/node-runtime.ts'
import { rowStatements } from '../../torture/history.ts'
import { postgresTables } from '../../torture/postgres-engine.ts'
import type { Instruction, WorkerConfig } from '../../torture/worker.ts'
import { openWorkerDatabase } from '../../torture/worker-database.ts'
import { temporaryPostgres } from '../support/postgres.ts'
import { endWorkers, until, Worker } from '../support/torture-process.ts'
import type { Order } from '../support/torture-workload.ts'
import { orders } from '../support/torture-workload.ts'

const program = fileURLToPath(new URL('../../torture/worker.ts', import.meta.url))
/** For what is done once the server, or the lease, allows it. */
const boundMs = 20_000

/** Neither charged nor failing: numbers 1 and 2 of many keys. */
const ordersNumbered = (number: number): Order[] =>
  Array.from({ length: 40 }, (_, index) => ({ id: `k${index}-${number}`, key: `k${index}`, number }))

interface Setting {
  readonly leaseMs: number
  readonly idleInTransactionMs: number
}

async function scene({ leaseMs, idleInTransactionMs }: Setting) {
  const { url, pool } = await temporaryPostgres()
  for (const statement of postgresTables) await pool.query(statement)
  const config: WorkerConfig = {
    database: { engine: 'postgres', url, brokerUrl: url, synchronous: 'FULL', idleInTransactionMs },
    topology: 'in-database',
    seed: 1,
    leaseMs,
    publish: [],
    providerUrl: 'http://127.0.0.1:9',
    wallAheadMs: 0,
  }
  const { app, close } = openWorkerDatabase(config.database, config, nodeRuntime(), () => {})
  onTestFinished(async () => {
    await endWorkers()
    await app.stop()
    await close()
  })
  return {
    app,
    pool,
    start: () => new Worker(program, config),
    publish: (number: number) =>
      app.publishMany(
        orders,
        ordersNumbered(number).map((data) => ({ data })),
      ),
    /** By all three groups. */
    async done(each: number): Promise<boolean> {
      const counts = await Promise.all(
        (['applied', 'heard', 'paid'] as const).map(async (table) => (await pool.query(rowStatements[table])).rowCount ?? 0),
      )
      return counts.every((count) => count >= each)
    },
    fenced: async () => (await app.status()).groups.reduce((sum, each) => sum + each.fenced, 0),
  }
}

function stop(worker: Worker): ReturnType<Worker['end']> {
  worker.child.stdin?.end()
  return worker.end()
}

const tell = (worker: Worker, instruction: Instruction): void => worker.tell(JSON.stringify(instruction))

interface LeaseRow {
  readonly name: string
  readonly epoch: string
}

/**
 * It stops with a message applied, and not committed. Answers the leases that its transactions hold: that of this message's partition, and of
 * those that it was working on beside.
 */
async function freezeInTransaction(worker: Worker, pool: Pool): Promise<readonly LeaseRow[]> {
  await worker.until('halted consume:applied')
  await until(
    () => worker.state === 'T',
    () => 'the consumer is stopped',
  )
  const busy =
    "select 1 from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid()"
  await until(
    async () => (await pool.query(busy)).rowCount === 0,
    () => 'the server has done what it was asked for',
  )
  const { rows } = await pool.query<LeaseRow>('select name, epoch from onefold.lease order by name')
  const { rows: free } = await pool.query('select name from onefold.lease for update skip locked')
  const held = rows.filter(({ name }) => free.every((each) => each.name !== name))
  expect(held.length).toBeGreaterThan(0)
  return held
}

/** Every order once for each group, and each key in order. */
async function appliedOnce(pool: Pool): Promise<void> {
  const all = [...ordersNumbered(1), ...ordersNumbered(2)].map(({ id }) => id).toSorted()
  for (const table of ['applied', 'heard', 'paid'] as const) {
    const { rows } = await pool.query<Order>(rowStatements[table])
    expect(rows.map(({ id }) => id).toSorted(), table).toEqual(all)
    for (const ofKey of Map.groupBy(rows, ({ key }) => key).values()) expect(ofKey.map(({ number }) => number)).toEqual([1, 2])
  }
}

describe('a consumer frozen inside its transaction, on PostgreSQL', () => {
  test('past the time a transaction may idle: the server ends it, others take over; thawed, it is fenced and nothing is applied twice', async () => {
    const setting = { leaseMs: 1_000, idleInTransactionMs: 2_000 }
    const { pool, start, publish, done, fenced } = await scene(setting)
    const first = start()
    await first.until('started')
    await publish(1)
    await until(
      () => done(40),
      () => `all is applied: ${first.story()}`,
    )
    tell(first, { arm: { at: 'consume:applied', pass: 3, signal: 'SIGSTOP' } })
    await publish(2)
    const held = await freezeInTransaction(first, pool)
    const frozenAt = performance.now()

    const heir = start()
    for (const { name } of held) {
      const [, group, partition] = name.split('/')
      await heir.until(`event taken-over ${group}/${partition}`)
    }
    const takenOverMs = Math.round(performance.now() - frozenAt)
    const { leaseMs, idleInTransactionMs } = setting
    console.log(
      `${held.length} partitions in use taken over after ${takenOverMs} ms: lease ${leaseMs}, the server's limit ${idleInTransactionMs}`,
    )
    expect(takenOverMs).toBeLessThan(leaseMs + idleInTransactionMs + boundMs)
    await until(
      () => done(80),
      () => `all is applied by the heir: ${heir.story()}`,
    )
    expect(await fenced()).toBe(0)

    first.kill('SIGCONT')
    await first.until('event fenced')
    await until(
      async () => (await fenced()) > 0,
      () => `a commit is fenced: ${first.story()}`,
    )
    expect((await stop(heir)).code, heir.story()).toBe(0)
    expect((await stop(first)).code, first.story()).toBe(0)
    await appliedOnce(pool)
  })

  test('shorter than that: though its lease is over nobody takes its partition, and its commit counts', async () => {
    const setting = { leaseMs: 800, idleInTransactionMs: 60_000 }
    const { pool, start, publish, done } = await scene(setting)
    const first = start()
    await first.until('started')
    await publish(1)
    await until(
      () => done(40),
      () => `all is applied: ${first.story()}`,
    )
    tell(first, { arm: { at: 'consume:applied', pass: 3, signal: 'SIGSTOP' } })
    await publish(2)
    const held = await freezeInTransaction(first, pool)

    const other = start()
    // What it does not hold locked is taken from it: its lease is over.
    await other.until('event taken-over')
    const end = performance.now() + 3 * setting.leaseMs
    while (performance.now() < end) {
      const now = await pool.query('select name, epoch from onefold.lease where name = any ($1) order by name', [
        held.map(({ name }) => name),
      ])
      expect(now.rows).toEqual(held)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(await done(80)).toBe(false)

    first.kill('SIGCONT')
    await until(
      () => done(80),
      () => `all is applied: ${first.story()}\n${other.story()}`,
    )
    expect((await stop(other)).code, other.story()).toBe(0)
    expect((await stop(first)).code, first.story()).toBe(0)
    await appliedOnce(pool)
  })
})
