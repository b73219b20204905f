import type { ErrorCode, Outcome, Retry } from '../../errors.ts'
import { OnefoldError } from '../../errors.ts'

/** How deep libraries wrap what the driver threw (`cause`, `driverError`, …). */
const mostWrappings = 8

interface DriverError {
  /** SQLSTATE, or a code of the socket or the library. */
  readonly code: string
  readonly severity: string | undefined
  readonly message: string
}

/** What the driver threw, under whatever an ORM wrapped around it. */
function driverError(error: unknown): DriverError | undefined {
  let current = error
  for (let depth = 0; depth < mostWrappings && typeof current === 'object' && current !== null; depth++) {
    const { originalCode, code, kind, severity, message, cause, driverError, originalError, driverAdapterError, meta } =
      current as Record<string, unknown>
    // Prisma keeps what the server said beside a code, and a kind, of its own.
    const known = [originalCode, code, kind].find(isKnownCode)
    if (current instanceof OnefoldError) current = cause
    else if (known !== undefined)
      return { code: known, severity: typeof severity === 'string' ? severity : undefined, message: String(message) }
    else if (typeof message === 'string' && lostMessages.test(message))
      return { code: 'ECONNRESET', severity: undefined, message }
    else current = cause ?? driverError ?? originalError ?? driverAdapterError ?? meta
  }
  return undefined
}

/** By its class: codes of Prisma's (P1001 and on) and of Node's (EPIPE) are as long. */
const sqlStates = /^(?:[0-9][0-9A-Z]|F0|HV|P0|XX)[0-9A-Z]{3}$/

const isKnownCode = (code: unknown): code is string =>
  typeof code === 'string' && (sqlStates.test(code) || connectionCodes.has(code))

/** Of Node's sockets, of postgres.js, and of Prisma. */
const connectionCodes: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'P1001',
  'P1002',
  'P1017',
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
])
/** `pg` gives these no code. */
const lostMessages =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Client was closed|The server closed the connection|Connection ended)/

/** https://www.postgresql.org/docs/current/errcodes-appendix.html; undefined for everything that is not PostgreSQL's. */
export function sqlState(error: unknown): string | undefined {
  const code = driverError(error)?.code
  return code !== undefined && sqlStates.test(code) ? code : undefined
}

/** The connection is gone, and with it its transaction, unless that was committing. */
export function isConnectionLost(error: unknown): boolean {
  const found = driverError(error)
  if (found === undefined) return false
  const { code, severity } = found
  return connectionCodes.has(code) || code.startsWith('08') || code.startsWith('57P') || code === '25P03' || severity === 'FATAL'
}

/** Nobody's fault: two transactions met. The same again goes through. */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error)
  return state === '40001' || state === '40P01'
}

/** Somebody else holds a lock for longer than this transaction may wait. */
export const isLockTimeout = (error: unknown): boolean => sqlState(error) === '55P03'

export const isUndefinedTable = (error: unknown): boolean => sqlState(error) === '42P01' || sqlState(error) === '3F000'
/** A statement that needs a transaction was executed outside of one. */
export const isOutsideTransaction = (error: unknown): boolean => sqlState(error) === '25P01'
/** A statement before this one failed. */
export const isAborted = (error: unknown): boolean => sqlState(error) === '25P02'

interface Trouble {
  readonly code: ErrorCode
  readonly retry: Retry
  readonly text: string
}

function trouble(error: unknown): Trouble | undefined {
  if (isConflict(error)) return { code: 'DATABASE_BUSY', retry: 'now', text: 'two transactions met; the same again goes through' }
  if (isConnectionLost(error))
    return {
      code: 'DATABASE_IO',
      retry: 'later',
      text: 'it cannot be reached, or the connection was lost; work goes on when it is back',
    }
  switch (sqlState(error)) {
    case '55P03':
    case '57014':
      return { code: 'DATABASE_BUSY', retry: 'later', text: 'a statement waited too long, or was cancelled' }
    case '53300':
      return {
        code: 'DATABASE_BUSY',
        retry: 'later',
        text: 'it has no connection left; lower the pools, or raise max_connections',
      }
    case '53100':
      return { code: 'DATABASE_FULL', retry: 'later', text: 'its disk is full; make room, then work goes on by itself' }
    case '53000':
    case '53200':
      return { code: 'DATABASE_BUSY', retry: 'later', text: 'it has not enough memory or other resources' }
    case '25006':
      return { code: 'DATABASE_READ_ONLY', retry: 'later', text: 'it only reads (a standby?); connect to the primary' }
    case '42501':
      return { code: 'DATABASE_READ_ONLY', retry: 'later', text: 'this role has no right to write there; grant it' }
    case '58000':
    case '58030':
      return { code: 'DATABASE_IO', retry: 'later', text: 'reading or writing its files failed; look at its log' }
    case 'XX001':
    case 'XX002':
      return { code: 'DATABASE_CORRUPT', retry: 'never', text: 'it is damaged; look at its log' }
    case '42P01':
    case '3F000':
      return {
        code: 'NOT_FOUND',
        retry: 'never',
        text: "it has no tables of Onefold: run `onefold migrate up`, or set migrations: 'apply'",
      }
    default:
      return undefined
  }
}

/** Turns what says something of the server, not of the statement, into typed errors; passes everything else through. */
export function explainError(error: unknown, where: string, outcome: Outcome = 'not-applied'): unknown {
  if (error instanceof OnefoldError) return error
  // Said to a statement of ours: one before it had failed, and the user's code went on.
  if (isAborted(error)) return transactionEnded(error)
  const known = trouble(error)
  if (known === undefined) return error
  return new OnefoldError(known.code, `database ${where}: ${known.text} (${(error as Error).message}).`, {
    outcome,
    retry: known.retry,
    cause: error,
    details: { database: where },
  })
}

/** The server, not what was asked of it, is in trouble. */
export const isServerTrouble = (error: unknown): boolean => trouble(error) !== undefined

/** COMMIT was sent, and no answer came that can be trusted. */
export function commitUnknown(error: unknown, where: string): OnefoldError {
  return new OnefoldError(
    'COMMIT_UNKNOWN',
    `database ${where}: the answer to COMMIT was lost, and the server could not be asked what became of it (${(error as Error)?.message ?? String(error)}). Repeat with the same identity: it is applied once either way.`,
    { outcome: 'unknown', retry: 'later', cause: error, details: { database: where } },
  )
}

/** User SQL ended the transaction it ran in, or left it in a state in which it can only be rolled back. */
export function transactionEnded(cause?: unknown): OnefoldError {
  const why = cause === undefined ? '' : `: ${(cause as Error)?.message ?? String(cause)}`
  return new OnefoldError(
    'TRANSACTION_ENDED',
    `the transaction ended inside the handler${why}. A statement ended it (COMMIT, ROLLBACK), or one failed and its error was caught without a savepoint; everything in it was discarded.`,
    { cause, retry: 'later' },
  )
}
