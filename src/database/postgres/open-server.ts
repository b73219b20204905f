import { OnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import type { PostgresClient } from './client.ts'
import { explainError } from './errors.ts'
import { latestVersion, migrate, refuseNewer, refuseOlder, versionOf } from './migrate.ts'
import { refuseUnactivated } from './move-mark.ts'
import type { CheckedOptions } from './options.ts'
import { adoptRestored } from './restored.ts'
import { numberOf, textOf } from './sql.ts'
import { nameLife } from './transaction.ts'

const oldestServer = 130_000

/**
 * Sees to it that the server is what is needed, and the tables are there. Answers the incarnation of the tables.
 *
 * @throws OnefoldError `DATABASE_UNSUITABLE`, `DATABASE_NEWER`, `DATABASE_IO`, `DATABASE_READ_ONLY`
 */
export async function openServer<Tx>(client: PostgresClient, runtime: Runtime, options: CheckedOptions<Tx>): Promise<string> {
  const { where } = client
  try {
    await checkServer(client, options)
    const version = await versionOf(client, options.schema)
    refuseNewer(version, where)
    if (version < latestVersion && options.migrations === 'apply') {
      const connection = await client.connect()
      try {
        await migrate(connection, options.schema, runtime, where)
      } finally {
        connection.release(false)
      }
    } else refuseOlder(version, where)
    await nameLife(client, options.schema)
    await refuseUnactivated(client.execute, options.schema, where)
    await adoptRestored(client, options.schema, runtime)
    const [row] = await client.execute(`select value from ${options.schema}.meta where name = 'incarnation'`)
    return textOf(row?.value)
  } catch (error) {
    throw explainError(error, where)
  }
}

/** @throws OnefoldError `DATABASE_UNSUITABLE`, `DATABASE_READ_ONLY` */
export async function checkServer<Tx>(client: PostgresClient, { durability }: CheckedOptions<Tx>): Promise<void> {
  const { where } = client
  const [row] = await client.execute(
    `select current_setting('server_version_num')::int as version, current_setting('fsync') as fsync,
       current_setting('synchronous_commit') as synchronous_commit, current_setting('server_encoding') as encoding,
       pg_is_in_recovery() as standby`,
  )
  const refuse = (says: string, details: Record<string, string | number>): never => {
    throw new OnefoldError('DATABASE_UNSUITABLE', `database ${where}: ${says}`, { details: { database: where, ...details } })
  }
  const version = numberOf(row?.version)
  if (version < oldestServer) refuse('PostgreSQL 13 or later is needed.', { version })
  if (row?.encoding !== 'UTF8')
    refuse(`its encoding is ${textOf(row?.encoding)}; Onefold needs a database made with encoding UTF8.`, {
      encoding: textOf(row?.encoding),
    })
  if (row?.standby === true) {
    throw new OnefoldError(
      'DATABASE_READ_ONLY',
      `database ${where}: it is a standby, which cannot be written; connect to the primary.`,
      {
        retry: 'later',
        details: { database: where },
      },
    )
  }
  if (durability === 'off') return
  for (const setting of ['fsync', 'synchronous_commit'] as const) {
    if (row?.[setting] === 'off')
      refuse(
        `${setting} is off, so a commit that was answered can be lost. Switch it on, or say durability: 'off' and do without effectively-once.`,
        { setting },
      )
  }
}
