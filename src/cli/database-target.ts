import { statSync } from 'node:fs'
import { OnefoldError } from '../errors.ts'
import type { Surroundings } from './command.ts'
import { UsageError } from './usage-error.ts'

/** What `--db` names. `name` is for people, and has no password in it. */
export type DatabaseTarget =
  | { readonly kind: 'file'; readonly name: string; readonly file: string }
  | { readonly kind: 'server'; readonly name: string; readonly url: string; readonly schema: string }

export const defaultSchema = 'onefold'

/** @throws UsageError for an URL that cannot be read, without repeating it: there may be a password in it. */
export function databaseTarget(
  { db, schema }: { readonly db: string | undefined; readonly schema: string | undefined },
  environment: Surroundings['environment'],
): DatabaseTarget {
  const named = db ?? (environment.ONEFOLD_DB || 'onefold.db')
  if (/^postgres(ql)?:/i.test(named)) {
    if (!URL.canParse(named) || !named.includes('://'))
      throw new UsageError('the URL of the database cannot be read; it has the form postgres://user@host:5432/database')
    const { hostname, port, pathname } = new URL(named)
    return {
      kind: 'server',
      name: `${hostname || 'localhost'}:${port || 5432}${pathname}`,
      url: named,
      schema: schema ?? defaultSchema,
    }
  }
  // A mistyped scheme must not make a file of that name, and its password the name of it.
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(named)?.[1]
  if (scheme !== undefined) throw new UsageError(`--db takes a file or a postgres:// URL, and this one begins with ${scheme}://`)
  if (schema !== undefined) throw new UsageError('--schema goes with a postgres:// URL; a file has no schemas')
  return { kind: 'file', name: named, file: named }
}

/**
 * Only looks: a command that reports on a database, or repairs one, must not make a new one out of a mistyped name. A server
 * answers for itself when it is asked.
 *
 * @throws OnefoldError `NOT_FOUND`, `NOT_POSSIBLE`
 */
export function requireDatabase(target: DatabaseTarget): void {
  if (target.kind === 'server') return
  const { file } = target
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) {
    throw new OnefoldError('NOT_FOUND', `there is no database at ${file}; name it with --db FILE or ONEFOLD_DB.`, {
      details: { file },
    })
  }
  if (!found.isFile())
    throw new OnefoldError('NOT_POSSIBLE', `${file} is not a file, so it is no database.`, { details: { file } })
}
