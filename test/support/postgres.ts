import { randomUUID } from 'node:crypto'
import { Pool } from 'pg'
import { afterAll, inject, onTestFinished } from 'vitest'
import type { PostgresAnswer } from './postgres-server.ts'
import { until } from './until.ts'

export interface TemporaryPostgres {
  readonly url: string
  /** As a user makes it, with nothing set. */
  readonly pool: Pool
}

let maintenance: Promise<Pool> | undefined

afterAll(async () => {
  await (await maintenance?.catch(() => undefined))?.end()
})

/**
 * An empty database of its own for the test that is running, on the server that all tests share: what one test listens to, locks or
 * leaves behind, no other sees. (Emptying one again costs more than making another: 240 ms against 85.) When the test has ended
 * the pool is ended, too, and the database dropped; a connection that is still open then fails the test.
 */
export async function temporaryPostgres(): Promise<TemporaryPostgres> {
  const { drop, ...made } = await makeDatabase()
  onTestFinished(() => drop())
  return made
}

export async function makeDatabase(): Promise<TemporaryPostgres & { drop(closedWithinMs?: number): Promise<void> }> {
  maintenance ??= connect()
  const server = await maintenance
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await server.query(`create database ${name}`)
  const url = databaseUrl(server, name)
  const pool = new Pool({ connectionString: url })
  return { url, pool, drop: (closedWithinMs = 2_000) => drop(server, name, pool, closedWithinMs) }
}

async function connect(): Promise<Pool> {
  const answer = (await (await fetch(inject('postgresOnDemand'))).json()) as PostgresAnswer
  if ('problem' in answer) throw new Error(answer.problem)
  return new Pool({ connectionString: answer.url, max: 4 })
}

function databaseUrl(server: Pool, name: string): string {
  const url = new URL(server.options.connectionString ?? '')
  url.pathname = `/${name}`
  return url.href
}

async function drop(server: Pool, name: string, pool: Pool, closedWithinMs: number): Promise<void> {
  // Its connections say goodbye after `end` has resolved; until then the server may still tell them something.
  pool.on('error', () => undefined)
  const ended = pool.ended ? Promise.resolve() : pool.end()
  const open = async (): Promise<string[]> => {
    const { rows } = await server.query('select query from pg_stat_activity where datname = $1', [name])
    return rows.map((row) => row.query)
  }
  try {
    await until(async () => (await open()).length === 0, 'its connections are closed', closedWithinMs)
    await ended
  } catch {
    const left = await open()
    if (left.length > 0) throw new Error(`connections left open by the test, last busy with: ${left.join(' | ')}`)
  } finally {
    await server.query(`drop database ${name} with (force)`)
  }
}
