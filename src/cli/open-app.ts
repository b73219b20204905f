import { statSync } from 'node:fs'
import type { App, OnefoldOptions } from '../app.ts'
import { OnefoldError } from '../errors.ts'
import type { Surroundings } from './command.ts'

interface AppOptions extends Pick<OnefoldOptions<unknown>, 'source' | 'leaseMs' | 'onEvent'> {
  /** False: a file that holds nothing of Onefold is left as it is. Default true. */
  readonly create?: boolean
}

export function databaseFile(values: { readonly db: string | undefined }, environment: Surroundings['environment']): string {
  return values.db ?? (environment.ONEFOLD_DB || 'onefold.db')
}

/**
 * Only looks: a command that reports on a database, or repairs one, must not make a new one out of a mistyped name.
 *
 * @throws OnefoldError `NOT_FOUND`, `NOT_POSSIBLE`
 */
export function requireFile(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) {
    throw new OnefoldError('NOT_FOUND', `there is no database at ${file}; name it with --db FILE or ONEFOLD_DB.`, {
      details: { file },
    })
  }
  if (!found.isFile())
    throw new OnefoldError('NOT_POSSIBLE', `${file} is not a file, so it is no database.`, { details: { file } })
}

/** Opens the app on `file` for as long as `work` takes. The engine is loaded here, so that help and mistakes need none. */
export async function withApp<R>(
  file: string,
  { runtime }: Pick<Surroundings, 'runtime'>,
  { create, ...options }: AppOptions,
  work: (app: App<unknown>) => Promise<R>,
): Promise<R> {
  const [{ onefold }, { sqlite }] = await Promise.all([import('../index.ts'), import('../database/sqlite/index.ts')])
  const app: App<unknown> = onefold({ ...options, runtime, database: sqlite(file, { create: create ?? true }) })
  try {
    return await work(app)
  } finally {
    await app.stop()
  }
}
