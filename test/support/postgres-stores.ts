import type { Pool, PoolClient } from 'pg'
import { onTestFinished } from 'vitest'
import type { SqlParameter, SqlRow } from '../../src/database/postgres/client.ts'
import { Known } from '../../src/database/postgres/known.ts'
import { migrations } from '../../src/database/postgres/schema.ts'
import { PostgresStores } from '../../src/database/postgres/session.ts'
import type { Lease } from '../../src/ownership/ownership-store.ts'
import { temporaryPostgres } from './postgres.ts'
import { until } from './until.ts'

const schema = '"onefold"'

/** A transaction that stays open until the test ends it. */
export interface Open extends PostgresStores {
  /** Texts of the statements executed. */
  readonly statements: string[]
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Resolves when it waits for a lock that another transaction holds. */
  blocked(): Promise<void>
}

/** The stores of the PostgreSQL engine over transactions that a test opens and ends itself. */
export class StoresOnPostgres {
  readonly #pool: Pool
  readonly #open = new Set<PoolClient>()
  readonly #known = new Known()
  nowMs = 1_000

  private constructor(pool: Pool) {
    this.#pool = pool
  }

  static async create(): Promise<StoresOnPostgres> {
    const { pool } = await temporaryPostgres()
    const stores = new StoresOnPostgres(pool)
    onTestFinished(async () => {
      for (const client of stores.#open) client.release(true)
    })
    await pool.query(`create schema ${schema}`)
    for (const migration of migrations) await pool.query(migration.replaceAll('{s}', schema))
    return stores
  }

  async begin(): Promise<Open> {
    const client = await this.#pool.connect()
    this.#open.add(client)
    await client.query('begin isolation level read committed')
    const { rows } = await client.query('select pg_backend_pid() as pid')
    const statements: string[] = []
    const execute = async (text: string, parameters: readonly SqlParameter[] = []): Promise<readonly SqlRow[]> => {
      statements.push(text)
      return (await client.query(text, [...parameters])).rows
    }
    const end = async (how: string): Promise<void> => {
      await client.query(how)
      this.#open.delete(client)
      client.release()
    }
    const stores = new PostgresStores(execute, {
      schema,
      where: 'test',
      known: this.#known,
      wallMs: () => this.nowMs,
      relaxedOffsets: false,
    })
    return Object.assign(stores, {
      statements,
      commit: () => end('commit'),
      rollback: () => end('rollback'),
      blocked: () =>
        until(
          async () => (await this.column('select cardinality(pg_blocking_pids($1)) > 0', rows[0].pid))[0] === true,
          'it waits for a lock',
        ),
    })
  }

  /** In a transaction of its own. */
  async write<R>(work: (stores: Open) => R): Promise<Awaited<R>> {
    const open = await this.begin()
    try {
      const result = await work(open)
      await open.commit()
      return result
    } catch (error) {
      await open.rollback()
      throw error
    }
  }

  async rows(text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> {
    return (await this.#pool.query(text.replaceAll('{s}', schema), values)).rows
  }

  /** The only column of the rows. */
  async column(text: string, ...values: unknown[]): Promise<unknown[]> {
    return (await this.rows(text, ...values)).map((row) => Object.values(row)[0])
  }

  /** An owner's lease of a partition. */
  async lease(name: string): Promise<Lease> {
    return await this.write(async ({ ownership }) => {
      const owner = await ownership.enroll({ pid: 1, host: 'h', startedAt: 's' }, { nowMs: 0, untilMs: 1e12 })
      const lease = await ownership.take(name, owner, { nowMs: 0, untilMs: 1e12, gone: [] })
      if (lease === undefined) throw new Error(`${name} is taken`)
      return lease
    })
  }
}
