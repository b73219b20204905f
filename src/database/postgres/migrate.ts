import { OnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import type { PostgresClient, PostgresConnection } from './client.ts'
import { isUndefinedTable } from './errors.ts'
import { migrations } from './schema.ts'
import { textOf } from './sql.ts'

/** One number per schema for the lock that lets one process migrate at a time. */
const lockClass = 0x0ef01d

/** The version of the tables: how many migrations they have had; 0 where there are none. */
export async function versionOf(client: Pick<PostgresClient, 'execute'>, schema: string): Promise<number> {
  try {
    const [row] = await client.execute(`select value from ${schema}.meta where name = 'schema_version'`)
    return row === undefined ? 0 : Number(textOf(row.value))
  } catch (error) {
    if (isUndefinedTable(error)) return 0
    throw error
  }
}

export const latestVersion = migrations.length

/** What brings tables of version `from` up to date, as SQL for whoever runs it by hand. */
export function migrationSql(schema: string, from: number): string {
  const steps = migrations.slice(from).map((text) => text.replaceAll('{s}', schema).trim())
  if (steps.length === 0) return ''
  const create = from === 0 ? `create schema if not exists ${schema};\n` : ''
  return `${create}${steps.join('\n')}\n${setVersion(schema)};\n`
}

const setVersion = (schema: string): string =>
  `insert into ${schema}.meta (name, value) values ('schema_version', '${latestVersion}') on conflict (name) do update set value = excluded.value`

/**
 * Brings the tables up to date in one transaction; of several processes that try at once, one does it and the others find it done.
 * Answers the version they had.
 *
 * @throws OnefoldError `DATABASE_NEWER` where a newer Onefold has been there.
 */
export async function migrate(connection: PostgresConnection, schema: string, runtime: Runtime, where: string): Promise<number> {
  await connection.begin([], `select pg_advisory_xact_lock(${lockClass}, hashtext('${schema.replaceAll("'", "''")}'))`)
  try {
    // In a savepoint: asking for a table that is not there fails the transaction.
    await connection.execute('savepoint look')
    let from = 0
    try {
      from = await versionOf({ execute: connection.execute }, schema)
    } finally {
      await connection.execute('rollback to savepoint look')
    }
    refuseNewer(from, where)
    if (from < latestVersion) {
      for (const statement of [migrationSql(schema, from)]) await connection.execute(statement)
      if (from === 0)
        await connection.execute(`insert into ${schema}.meta (name, value) values ('incarnation', $1)`, [runtime.uuid()])
    }
    await connection.commit()
    return from
  } catch (error) {
    await connection.execute('rollback').catch(() => undefined)
    throw error
  }
}

/** @throws OnefoldError `DATABASE_NEWER`. */
export function refuseNewer(version: number, where: string): void {
  if (version <= latestVersion) return
  throw new OnefoldError(
    'DATABASE_NEWER',
    `database ${where}: its tables are of version ${version}, and this Onefold knows ${latestVersion}; update the program.`,
    { details: { database: where, version, known: latestVersion } },
  )
}

/** @throws OnefoldError `DATABASE_UNSUITABLE` naming the command. */
export function refuseOlder(version: number, where: string): void {
  if (version === latestVersion) return
  throw new OnefoldError(
    'DATABASE_UNSUITABLE',
    version === 0
      ? `database ${where} has no tables of Onefold yet. Run \`onefold migrate up --db postgres://…\` (or \`migrate print\` for the SQL), or set migrations: 'apply'.`
      : `database ${where}: its tables are of version ${version}, this Onefold needs ${latestVersion}. Run \`onefold migrate up --db postgres://…\`, or set migrations: 'apply'.`,
    { details: { database: where, version, needed: latestVersion } },
  )
}
