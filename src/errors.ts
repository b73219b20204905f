/**
 * Every error Onefold throws on purpose. A `code` is stable: match on it, never on the message text.
 *
 * `outcome` answers the one question a caller has after an error: did it happen?
 * `retry` says what the caller may do: the same thing now, the same thing later, or nothing until somebody changes something.
 */
export type Outcome = 'not-applied' | 'applied' | 'unknown'
export type Retry = 'now' | 'later' | 'never'

export type ErrorCode =
  // The caller must change the call.
  | 'OPTION_INVALID'
  | 'MESSAGE_INVALID'
  | 'MESSAGE_TOO_LARGE'
  | 'ID_REUSED'
  | 'TX_CLOSED'
  | 'TX_CONTROL'
  | 'TX_FOREIGN'
  | 'PUBLISH_INSIDE_APPLY'
  | 'PUBLISH_INCOMPLETE'
  | 'APP_STARTED'
  | 'APP_STOPPED'
  | 'NOT_FOUND'
  | 'NOT_POSSIBLE'
  // The caller may repeat; the same identity makes the repeat harmless.
  | 'QUEUE_FULL'
  | 'DATABASE_BUSY'
  | 'COMMIT_UNKNOWN'
  | 'ABORTED'
  // An operator must act.
  | 'TOPIC_CHANGED'
  | 'DATABASE_FULL'
  | 'DATABASE_READ_ONLY'
  | 'DATABASE_CORRUPT'
  | 'DATABASE_NEWER'
  | 'DATABASE_UNSUITABLE'
  | 'DATABASE_IO'
  | 'GAPS_EXCEEDED'
  | 'GUARANTEE_IMPOSSIBLE'
  | 'CALL_RENAMED'
  | 'MOVED_TO'
  // Raised inside a consumer; they end up on a message's attempts.
  | 'FENCED'
  | 'TRANSACTION_ENDED'
  | 'TRANSACTION_TIMEOUT'
  | 'COMMIT_REFUSED'
  | 'APPLY_CRASHED'
  | 'MESSAGE_LATE'
  | 'CALL_UNKNOWN'
  | 'CALL_RESULT_INVALID'

export type ErrorDetails = Readonly<Record<string, string | number | boolean | undefined>>

export interface OnefoldErrorOptions {
  readonly outcome?: Outcome
  readonly retry?: Retry
  readonly details?: ErrorDetails
  readonly cause?: unknown
}

/** The base of all errors thrown on purpose by Onefold. */
export class OnefoldError extends Error {
  override readonly name: string = 'OnefoldError'
  readonly code: ErrorCode
  /** What became of the thing that was asked for. */
  readonly outcome: Outcome
  readonly retry: Retry
  /** Primitive facts about the error: ids, option names, file names, counts. */
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, options: OnefoldErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.outcome = options.outcome ?? 'not-applied'
    this.retry = options.retry ?? 'never'
    this.details = options.details ?? {}
  }
}

/** True when `error` was thrown by Onefold and, if given, carries `code`. */
export function isOnefoldError(error: unknown, code?: ErrorCode): error is OnefoldError {
  return error instanceof OnefoldError && (code === undefined || error.code === code)
}

/**
 * By its name, or by the name of a class it extends: also the error of another copy of Onefold (two versions in one
 * node_modules tree, a bundle), where `instanceof` fails. Anything may be given; it never throws.
 */
export function isErrorNamed(error: unknown, name: string): boolean {
  try {
    if (typeof error !== 'object' || error === null) return false
    if ((error as Error).name === name) return true
    for (let prototype = Object.getPrototypeOf(error); prototype !== null; prototype = Object.getPrototypeOf(prototype)) {
      if (prototype.constructor?.name === name) return true
    }
  } catch {
    // A hostile getter or proxy: not ours.
  }
  return false
}

/** Names the option that is wrong, what it was, and what it may be. */
export function optionInvalid(option: string, value: unknown, expected: string): OnefoldError {
  return new OnefoldError('OPTION_INVALID', `${option} is ${describe(value)}; it must be ${expected}.`, {
    details: { option, expected },
  })
}

/**
 * Thrown by a handler to say: no attempt will ever succeed. The message goes to the attention list at once.
 *
 * @example
 * throw new TerminalError('account is closed')
 */
export class TerminalError extends Error {
  override readonly name = 'TerminalError'
}

/**
 * Thrown by a handler to choose when the next attempt runs. It counts as an attempt.
 * `afterMs`: milliseconds, 0 to 30 days.
 *
 * @example
 * throw new RetryLater({ afterMs: 60_000 })
 */
export class RetryLater extends Error {
  override readonly name = 'RetryLater'
  readonly afterMs: number

  constructor(options: { afterMs: number; message?: string; cause?: unknown }) {
    if (!(options.afterMs >= 0 && options.afterMs <= 30 * 24 * 3_600_000)) {
      throw optionInvalid('afterMs', options.afterMs, 'a number of milliseconds from 0 to 30 days')
    }
    super(options.message ?? `try again after ${options.afterMs} ms`, { cause: options.cause })
    this.afterMs = options.afterMs
  }
}

/**
 * Thrown by a call to say: the other side answered, and the answer is no. It did not happen, and the next attempt makes
 * the call in a new round, with a new token. With `terminal` there is no next attempt: the message goes to attention.
 * Thrown for an answer that judges the call ("declined"), never because the other side is busy or down: it is believed of
 * every earlier request under this token too.
 *
 * `code` is handed to `apply` where the call says `whenFailed: 'apply'`.
 *
 * @example
 * if (answer.status === 402) throw new CallFailed('card declined', { code: 'declined' })
 */
export class CallFailed extends Error {
  override readonly name = 'CallFailed'
  readonly code: string
  readonly terminal: boolean

  constructor(message: string, options: { code?: string; terminal?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code ?? 'FAILED'
    this.terminal = options.terminal ?? false
  }
}

/**
 * Thrown by a call to say: it may have happened, and it may not. The call's `whenUnknown` rule decides what comes next.
 *
 * @example
 * if (answer.status === 202) throw new CallUnknown('accepted, not yet decided')
 */
export class CallUnknown extends Error {
  override readonly name = 'CallUnknown'

  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}
