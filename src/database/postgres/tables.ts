import type { Runtime } from '../../runtime.ts'
import { explainError } from './errors.ts'
import { latestVersion, migrate, migrationSql, refuseNewer, versionOf } from './migrate.ts'
import { checkedOptions } from './options.ts'
import type { PgPool } from './pg-client.ts'

/** Onefold's tables in one schema of a server, for tools. */
export interface Tables {
  /** What this Onefold needs. */
  readonly latest: number
  /** What is there; 0: nothing. */
  version(): Promise<number>
  /** Makes them, or brings them up to date. Answers the version they had. @throws OnefoldError `DATABASE_NEWER`. */
  up(): Promise<number>
  /** SQL that does the same from version `from`, for whoever runs it by hand. @throws OnefoldError `DATABASE_NEWER`. */
  script(from: number): string
}

/** @throws OnefoldError `OPTION_INVALID` for a schema that cannot be one. */
export function tablesOf(pool: PgPool, { schema: named, runtime }: { schema: string; runtime: Runtime }): Tables {
  const { schema, client: open } = checkedOptions(pool, { schema: named })
  const client = open(runtime)
  const { where } = client
  const explained = async <R>(work: () => Promise<R>): Promise<R> => {
    try {
      return await work()
    } catch (error) {
      throw explainError(error, where)
    }
  }
  return {
    latest: latestVersion,
    version: () => explained(() => versionOf(client, schema)),
    up: () =>
      explained(async () => {
        const connection = await client.connect()
        let broken = true
        try {
          const from = await migrate(connection, schema, runtime, where)
          broken = false
          return from
        } finally {
          connection.release(broken)
        }
      }),
    script(from) {
      refuseNewer(from, where)
      const sql = migrationSql(schema, from)
      if (sql === '') return `-- ${schema}: version ${from}, nothing to do\n`
      const incarnation =
        from === 0
          ? `insert into ${schema}.meta (name, value) values ('incarnation', gen_random_uuid()::text) on conflict (name) do nothing;\n`
          : ''
      return `-- Onefold's tables, from version ${from} to ${latestVersion}\nbegin;\n${sql}${incarnation}commit;\n`
    },
  }
}
