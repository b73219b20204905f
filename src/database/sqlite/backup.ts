import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, backup as nodeBackup } from 'node:sqlite'
import { OnefoldError } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import { openNodeSqlite } from './connection.ts'
import { explainError } from './errors.ts'

const pagesPerStep = 500

/**
 * Copies a database in use. The source is held at one snapshot, so writers neither wait nor make the copy start again.
 * The copy is a new incarnation: nobody owns anything in it. It appears under its name only when it is whole.
 */
export async function backupDatabase(options: {
  readonly source: string
  readonly file: string
  readonly prefix: string
  readonly runtime: Runtime
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}): Promise<void> {
  const { source, file, prefix, signal } = options
  if (existsSync(file)) {
    throw new OnefoldError('OPTION_INVALID', `backup file ${file} exists already; choose another name, nothing is overwritten.`, {
      details: { option: 'file', file },
    })
  }
  const partial = `${file}.partial`
  rmSync(partial, { force: true })
  const snapshot = new DatabaseSync(source, { readOnly: true, timeout: 1_000 })
  try {
    snapshot.exec(`begin; select count(*) from ${prefix}meta`)
    signal?.throwIfAborted()
    const pages = await nodeBackup(snapshot, partial, {
      rate: pagesPerStep,
      progress: ({ totalPages, remainingPages }) => {
        options.onProgress?.(totalPages - remainingPages, totalPages)
        signal?.throwIfAborted()
      },
    })
    // SQLite tells of what is left to do, so not of the last step, which may be the only one.
    options.onProgress?.(pages, pages)
    signal?.throwIfAborted()
    const copy = openNodeSqlite(partial, { readOnly: false })
    copy.exec(`pragma synchronous = full; begin immediate`)
    copy.prepare(`update ${prefix}meta set value = ? where name = 'incarnation'`).run(options.runtime.uuid())
    copy.exec(
      `delete from ${prefix}owner; delete from ${prefix}member; update ${prefix}lease set owner = null, crashes = 0; commit; pragma wal_checkpoint(truncate)`,
    )
    copy.close()
    sync(partial)
    renameSync(partial, file)
    sync(dirname(file))
  } catch (error) {
    rmSync(partial, { force: true })
    if (signal?.aborted === true)
      throw new OnefoldError('ABORTED', `backup to ${file} was stopped; nothing is left of it.`, { retry: 'now', cause: error })
    throw explainError(error, file)
  } finally {
    snapshot.close()
  }
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
