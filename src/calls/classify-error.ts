/**
 * Is what a call threw an answer (the other side said no, or was never reached) or the lack of one? In doubt it is the lack
 * of one: to take an unknown outcome for a refusal repeats a charge under a new token; the other way round costs a question.
 */
import { CallFailed, isErrorNamed } from '../errors.ts'
import type { CallErrorRecord } from './call-store.ts'

export interface ClassifiedError {
  /** 'failed': this request is known not to have done anything. */
  readonly outcome: 'failed' | 'unknown'
  /**
   * What it says of an earlier request under the same token that got no answer. A server that is down, busy or does not know
   * the caller says nothing about it, and one that finds a conflict may have found that very request.
   */
  readonly earlier: 'failed' | 'unknown'
  readonly record: CallErrorRecord
}

const maxMessage = 2_048
const maxName = 200

/** `connect` and name resolution fail before anything was sent. */
const beforeSending = new Set(['connect', 'getaddrinfo', 'queryA', 'queryAaaa'])
/** Also without a `syscall`: clients wrap these. */
const neverConnected = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/**
 * Known to have failed: `CallFailed`, `TerminalError`, `RetryLater`; an HTTP status from 400 to 499 (save 408 and 425) or
 * 501, 503 or 505; an SMTP reply from 400 to 599; no connection made. An HTTP 500, 502 or 504 may come from a server that
 * acted and then broke, or from a gateway that lost the answer, and a redirect often follows what was done: unknown. Everything
 * else is unknown too.
 *
 * Of an earlier request only `CallFailed`, `TerminalError` and an HTTP 402 speak: they judge the call, not the request.
 *
 * Anything may be given, also what is no error. It never throws.
 */
export function classifyError(error: unknown): ClassifiedError {
  try {
    const outcome = outcomeOf(error)
    return { outcome, earlier: outcome === 'failed' && judgesCall(error) ? 'failed' : 'unknown', record: recordOf(error) }
  } catch {
    // A hostile getter or proxy tells nothing about what happened.
    return {
      outcome: 'unknown',
      earlier: 'unknown',
      record: { name: 'Error', code: '', message: 'an error that could not be read' },
    }
  }
}

function outcomeOf(error: unknown): 'failed' | 'unknown' {
  if (isErrorNamed(error, 'CallUnknown')) return 'unknown'
  for (const name of ['CallFailed', 'TerminalError', 'RetryLater']) if (isErrorNamed(error, name)) return 'failed'
  if (smtpReply(error) || httpRefusal(error)) return 'failed'
  return neverSent(error, 0) ? 'failed' : 'unknown'
}

function judgesCall(error: unknown): boolean {
  return isErrorNamed(error, 'CallFailed') || isErrorNamed(error, 'TerminalError') || statusOf(error) === 402
}

/** nodemailer: a reply code means that the server answered the transaction, with no. */
function smtpReply(error: unknown): boolean {
  const code = numberIn(error, 'responseCode')
  return code !== undefined && code >= 400 && code <= 599
}

function httpRefusal(error: unknown): boolean {
  const status = statusOf(error)
  if (status === undefined || status === 408 || status === 425) return false
  return (status >= 400 && status < 500) || status === 501 || status === 503 || status === 505
}

/** As fetch wrappers, axios, got, undici's ResponseError and the SDKs of payment providers give it. */
function statusOf(error: unknown): number | undefined {
  const own = numberIn(error, 'status') ?? numberIn(error, 'statusCode')
  if (own !== undefined) return own
  const response = propertyOf(error, 'response')
  return numberIn(response, 'status') ?? numberIn(response, 'statusCode')
}

/** fetch hides the system error in `cause`, and one try per address in an AggregateError: all of them must say so. */
function neverSent(error: unknown, depth: number): boolean {
  if (depth > 4 || typeof error !== 'object' || error === null) return false
  const errors = propertyOf(error, 'errors')
  if (Array.isArray(errors) && errors.length > 0) return errors.every((one) => neverSent(one, depth + 1))
  const syscall = propertyOf(error, 'syscall')
  if (typeof syscall === 'string') return beforeSending.has(syscall)
  const code = propertyOf(error, 'code')
  if (typeof code === 'string' && neverConnected.has(code)) return true
  const cause = propertyOf(error, 'cause')
  return cause !== undefined && neverSent(cause, depth + 1)
}

function recordOf(error: unknown): CallErrorRecord {
  const code = error instanceof CallFailed ? error.code : propertyOf(error, 'code')
  const status = statusOf(error) ?? numberIn(error, 'responseCode')
  const name = propertyOf(error, 'name')
  const message = propertyOf(error, 'message')
  return {
    name: (typeof name === 'string' && name !== '' ? name : 'Error').toWellFormed().slice(0, maxName),
    code: (typeof code === 'string' ? code : status === undefined ? '' : String(status)).toWellFormed().slice(0, maxName),
    message: (typeof message === 'string' ? message : String(error)).toWellFormed().slice(0, maxMessage),
  }
}

function propertyOf(value: unknown, name: string): unknown {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function numberIn(value: unknown, name: string): number | undefined {
  const found = propertyOf(value, name)
  return typeof found === 'number' && Number.isInteger(found) && found >= 100 && found <= 599 ? found : undefined
}
