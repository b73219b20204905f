import type { App, OnefoldOptions } from '../app.ts'
import type { Database } from '../database/database.ts'
import type { Surroundings } from './command.ts'
import type { DatabaseTarget } from './database-target.ts'
import { withPool } from './postgres-pool.ts'

interface AppOptions extends Pick<OnefoldOptions<unknown>, 'source' | 'leaseMs' | 'onEvent'> {
  /** False: a file that holds nothing of Onefold is left as it is. Default true. On a server nothing is ever made. */
  readonly create?: boolean
}

/** Opens the app on `target` for as long as `work` takes. The engine is loaded here, so that help and mistakes need none. */
export async function withApp<R>(
  target: DatabaseTarget,
  { runtime }: Pick<Surroundings, 'runtime'>,
  { create, ...options }: AppOptions,
  work: (app: App<unknown>) => Promise<R>,
): Promise<R> {
  const { onefold } = await import('../index.ts')
  const run = async (database: Database<unknown>): Promise<R> => {
    const app: App<unknown> = onefold({ ...options, runtime, database })
    try {
      return await work(app)
    } finally {
      await app.stop()
    }
  }
  if (target.kind === 'file') {
    const { sqlite } = await import('../database/sqlite/index.ts')
    return await run(sqlite(target.file, { create: create ?? true }) as Database<unknown>)
  }
  const { postgres } = await import('../database/postgres/index.ts')
  return await withPool(target, (pool) => run(postgres(pool, { schema: target.schema }) as Database<unknown>))
}
