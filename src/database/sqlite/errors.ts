import type { ErrorCode, Outcome, Retry } from '../../errors.ts'
import { OnefoldError } from '../../errors.ts'

/** Primary result codes, https://sqlite.org/rescode.html */
const BUSY = 5
const LOCKED = 6
const READONLY = 8
const IOERR = 10
const CORRUPT = 11
const FULL = 13
const CANTOPEN = 14
const CONSTRAINT = 19
const NOTADB = 26

/** The primary result code of an error thrown by node:sqlite or better-sqlite3; undefined for everything else. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const { errcode, code } = error as { errcode?: unknown; code?: unknown }
  if (code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number') return errcode & 0xff
  if (typeof code === 'string' && code.startsWith('SQLITE_')) return namedCodes[code.split('_')[1] ?? '']
  return undefined
}

const namedCodes: Record<string, number> = {
  BUSY,
  LOCKED,
  READONLY,
  IOERR,
  CORRUPT,
  FULL,
  CANTOPEN,
  CONSTRAINT,
  NOTADB,
}

export const isBusy = (error: unknown): boolean => {
  const code = sqliteCode(error)
  return code === BUSY || code === LOCKED
}

export const isConstraint = (error: unknown): boolean => sqliteCode(error) === CONSTRAINT

/** Trouble of the file or the disk: not the fault of the message that met it. */
export const isStorageTrouble = (error: unknown): boolean => {
  const code = sqliteCode(error)
  return code === FULL || code === IOERR || code === READONLY || code === CORRUPT || code === NOTADB || code === CANTOPEN
}

interface Trouble {
  readonly code: ErrorCode
  readonly retry: Retry
  readonly text: string
}

function trouble(error: unknown): Trouble | undefined {
  switch (sqliteCode(error)) {
    case FULL:
      return {
        code: 'DATABASE_FULL',
        retry: 'later',
        text: 'the disk holding it is full; make room, then work goes on by itself',
      }
    case READONLY:
      return {
        code: 'DATABASE_READ_ONLY',
        retry: 'later',
        text: 'it (or its folder) cannot be written; give this user write permission',
      }
    case CORRUPT:
      return {
        code: 'DATABASE_CORRUPT',
        retry: 'never',
        text: 'it is damaged; keep a copy of the file and its -wal, then restore a backup',
      }
    case NOTADB:
      return { code: 'DATABASE_CORRUPT', retry: 'never', text: 'it is not a SQLite database; check the file name' }
    case CANTOPEN:
      return { code: 'DATABASE_IO', retry: 'later', text: 'it cannot be opened; check that the folder exists and may be written' }
    case IOERR:
      return {
        code: 'DATABASE_IO',
        retry: 'later',
        text: 'reading or writing it failed; check the disk (space, quota, file-size limit, hardware)',
      }
    case BUSY:
    case LOCKED:
      return { code: 'DATABASE_BUSY', retry: 'later', text: 'another process holds its lock; `onefold status` names the pid' }
    default:
      return undefined
  }
}

/** User SQL ended the transaction it ran in. `cause`: what is known of how. */
export function transactionEnded(cause?: unknown): OnefoldError {
  const why = cause === undefined ? '' : `: ${(cause as Error)?.message ?? String(cause)}`
  return new OnefoldError(
    'TRANSACTION_ENDED',
    `the transaction ended inside the handler${why}. A statement rolled it back ("insert or rollback", raise(rollback), a full disk) or committed it; everything in it was discarded.`,
    { cause, retry: 'later' },
  )
}

/** Turns SQLite's own errors into typed ones naming the file and the remedy; passes everything else through. */
export function explainError(error: unknown, file: string, outcome: Outcome = 'not-applied'): unknown {
  const known = trouble(error)
  if (known === undefined) return error
  return new OnefoldError(known.code, `database ${file}: ${known.text} (${(error as Error).message}).`, {
    outcome,
    retry: known.retry,
    cause: error,
    details: { file },
  })
}

/** A COMMIT that reported an error may have committed all the same: the frames can be in the log although the sync failed. */
export function commitUnknown(error: unknown, file: string): OnefoldError {
  const known = trouble(error)
  const why = known === undefined ? String((error as Error)?.message ?? error) : known.text
  return new OnefoldError(
    'COMMIT_UNKNOWN',
    `database ${file}: COMMIT reported an error and may or may not have taken effect (${why}). Repeat with the same identity: it is applied once either way.`,
    {
      outcome: 'unknown',
      retry: 'later',
      cause: error,
      details: { file, reason: known?.code },
    },
  )
}
