import type { SqliteConnection } from './connection.ts'
import { isBusy } from './errors.ts'

/**
 * Runs `work` so that what it deletes or replaces is overwritten with zeros where it lay
 * (https://sqlite.org/pragma.html#pragma_secure_delete). Copies that SQLite left when it moved rows between pages are not.
 */
export function securely<R>(connection: SqliteConnection, work: () => R): R {
  const before = connection.prepare('pragma secure_delete').get<{ secure_delete: number }>()?.secure_delete ?? 0
  // Not prepared: SQLite carries this pragma out when it compiles it.
  connection.exec('pragma secure_delete = 1')
  try {
    return work()
  } finally {
    connection.exec(`pragma secure_delete = ${before === 2 ? 'fast' : before}`)
  }
}

/** Writes the whole file anew, on a connection of its own: one that is in a transaction cannot. Holds the write lock meanwhile. */
export function rewrite(connection: SqliteConnection): void {
  const own = connection.sibling({ readOnly: false })
  try {
    own.exec('pragma synchronous = full; pragma fullfsync = 1; vacuum')
  } finally {
    own.close()
  }
}

/** Moves the whole log into the database and cuts it to nothing. False while somebody writes, or reads an older state. */
export function truncateLog(connection: SqliteConnection): boolean {
  try {
    return connection.prepare('pragma wal_checkpoint(truncate)').get<{ busy: number }>()?.busy === 0
  } catch (error) {
    if (isBusy(error)) return false
    throw error
  }
}
