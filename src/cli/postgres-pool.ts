import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { PgPool } from '../database/postgres/index.ts'
import { OnefoldError } from '../errors.ts'
import type { DatabaseTarget } from './database-target.ts'

interface Pool extends PgPool {
  end(): Promise<void>
}
type PoolClass = new (options: { connectionString: string; application_name: string }) => Pool

/** Runs `work` with a pool of the client that the user has installed, and ends it. It connects when it is first used. */
export async function withPool<R>(
  { url, name }: Extract<DatabaseTarget, { kind: 'server' }>,
  work: (pool: PgPool) => Promise<R>,
): Promise<R> {
  const Pool = await loadPool(name)
  const pool = new Pool({ connectionString: url, application_name: 'onefold' })
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}

/** Of the project that the command is run in; else of where Onefold itself is installed. */
async function loadPool(name: string): Promise<PoolClass> {
  const places = [pathToFileURL(resolve('package.json')).href, import.meta.url]
  for (const place of places) {
    let file: string
    try {
      file = createRequire(place).resolve('pg')
    } catch {
      continue
    }
    const loaded = (await import(pathToFileURL(file).href)) as { readonly default: { readonly Pool: PoolClass } }
    return loaded.default.Pool
  }
  throw new OnefoldError(
    'NOT_POSSIBLE',
    `database ${name}: the client for PostgreSQL is not installed in ${resolve('.')}; run npm i pg there.`,
    { details: { database: name } },
  )
}
