import { existsSync, realpathSync, statfsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { OnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import type { SqliteConnection } from './connection.ts'
import { migrations } from './schema.ts'
import type { SqliteOptions } from './sqlite-options.ts'

/** File systems whose locks or shared memory SQLite's WAL cannot rely on: https://sqlite.org/wal.html, `man 2 statfs`. */
const networkFileSystems: Readonly<Record<number, string>> = {
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB2',
  12805120: 'Ceph',
  1397113167: 'AFS',
}

/** The file's one name. @throws OnefoldError `DATABASE_IO`, `DATABASE_UNSUITABLE` where it cannot be. */
export function checkedPath(target: string): string {
  const folder = dirname(target)
  if (!existsSync(folder)) {
    throw new OnefoldError(
      'DATABASE_IO',
      `database ${target}: the folder ${folder} does not exist; create it or name another file.`,
      { details: { file: target } },
    )
  }
  const network = networkFileSystems[statfsSync(folder).type]
  if (network !== undefined) {
    throw new OnefoldError(
      'DATABASE_UNSUITABLE',
      `database ${target}: it lies on a network file system (${network}), where SQLite's locks cannot be relied on. Use a local disk, or PostgreSQL.`,
      {
        details: { file: target, fileSystem: network },
      },
    )
  }
  // One name per file, whichever link leads to it: the -wal beside it must be found.
  return existsSync(target) ? realpathSync(target) : join(realpathSync(folder), basename(target))
}

/** Sets up a writing connection. @throws OnefoldError where the file or SQLite does not do what was asked for. */
export function configure(connection: SqliteConnection, file: string, options: Required<SqliteOptions>): void {
  const { synchronous, create, prefix, cacheMiB } = options
  if (!create && versionOf(connection, prefix) === 0) {
    throw new OnefoldError('NOT_FOUND', `database ${file} holds nothing of Onefold (no table ${prefix}meta); check the name.`, {
      details: { file },
    })
  }
  const mode = connection.prepare('pragma journal_mode = wal').get<{ journal_mode: string }>()?.journal_mode
  if (mode !== 'wal') {
    throw new OnefoldError(
      'DATABASE_UNSUITABLE',
      `database ${file}: it stays in journal mode ${mode}; Onefold needs WAL. Is it on a file system without shared memory, or open elsewhere in another mode?`,
      {
        details: { file, journalMode: mode },
      },
    )
  }
  // macOS flushes to the disk itself only when asked to (fullfsync).
  connection.exec(
    `pragma synchronous = ${synchronous}; pragma fullfsync = 1; pragma checkpoint_fullfsync = 1; pragma wal_autocheckpoint = 4000; pragma cache_size = -${Math.round(cacheMiB * 1024)}`,
  )
  const level = connection.prepare('pragma synchronous').get<{ synchronous: number }>()?.synchronous
  if (level !== (synchronous === 'FULL' ? 2 : 1)) {
    throw new OnefoldError(
      'DATABASE_UNSUITABLE',
      `database ${file}: synchronous=${synchronous} was asked for, SQLite answers ${level}.`,
      { details: { file } },
    )
  }
}

/** Of Onefold's tables; 0 when there are none. */
function versionOf(connection: SqliteConnection, prefix: string): number {
  const meta = `${prefix}meta`
  if (connection.prepare("select 1 from sqlite_schema where type = 'table' and name = ?").get(meta) === undefined) return 0
  return connection.prepare(`select value from ${meta} where name = 'schema_version'`).get<{ value: number }>()?.value ?? 0
}

/** Brings the tables up to this version; safe when ten processes do it at once. @throws OnefoldError `DATABASE_NEWER`. */
export function migrate(
  connection: SqliteConnection,
  file: string,
  { prefix, runtime }: { prefix: string; runtime: Runtime },
): void {
  const meta = `${prefix}meta`
  const version = (): number => versionOf(connection, prefix)
  const check = (found: number): void => {
    if (found <= migrations.length) return
    throw new OnefoldError(
      'DATABASE_NEWER',
      `database ${file}: its tables have version ${found}, this Onefold knows up to ${migrations.length}. Upgrade this process; nothing was changed.`,
      { details: { file, found, known: migrations.length } },
    )
  }
  const before = version()
  check(before)
  if (before === migrations.length) return
  connection.prepare('begin immediate').run()
  try {
    // Another process may have been faster.
    const from = version()
    check(from)
    for (const migration of migrations.slice(from)) connection.exec(migration.replaceAll('{p}', prefix))
    connection
      .prepare(`insert into ${meta} (name, value) values ('schema_version', ?) on conflict do update set value = excluded.value`)
      .run(migrations.length)
    connection.prepare(`insert into ${meta} (name, value) values ('incarnation', ?) on conflict do nothing`).run(runtime.uuid())
    connection.prepare('commit').run()
  } catch (error) {
    if (connection.inTransaction) connection.prepare('rollback').run()
    throw error
  }
}
