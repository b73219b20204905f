import type { StandardSchemaV1 } from '@standard-schema/spec'
import { optionInvalid } from './errors.ts'
import type { Awaitable } from './message.ts'

/** What a journal or a wire gives back for a value of type T: a Date has become a string, functions are gone. */
export type Json<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends { toJSON(): infer J }
    ? J
    : T extends (...parameters: never[]) => unknown
      ? never
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : never

export interface CallContext {
  /**
   * Equal every time this call is made again for this message in the same round: hand it on as the idempotency key.
   * Another one after the other side has said no (providers repeat a stored refusal for an old token).
   */
  readonly token: string
  /** Aborts after `timeoutMs`, when the partition is taken over, or when the app stops without drain. */
  readonly signal: AbortSignal
  /** The message's attempt, 1 on the first. */
  readonly attempt: number
}

export interface ProbeContext {
  /** The token of the call whose outcome is asked for. */
  readonly token: string
  readonly signal: AbortSignal
}

/**
 * What a probe found out.
 *
 * - `{ happened: result }`: it happened; the result is remembered as if the call had answered.
 * - `'did-not-happen'`: it has not happened, and the request that may still be on its way will not make it happen twice:
 *   its deadline has passed, or the provider honours tokens. The call is made again **with the same token**.
 * - `'voided'`: it has not happened and never will under this token, because the probe has voided it. The call is made
 *   again in a new round, with a new token.
 * - `'unknown'`: asked again at the next attempt; after the last one a person decides.
 */
export type Probe<R> = { readonly happened: R } | 'did-not-happen' | 'voided' | 'unknown'

/** With `whenFailed: 'apply'`: what became of the call, for `apply` to deal with. */
export interface CallOutcome<R> {
  readonly status: 'happened' | 'failed' | 'skipped'
  /** When it happened. */
  readonly result?: R
  /** When the other side said no. */
  readonly error?: { readonly code: string; readonly message: string }
}

export interface CallOptions<Data, R, Kept = R> {
  /**
   * What to do when a request was sent, or may have been, and no answer came.
   *
   * - `'repeat'` (default): make it again with the same token. Once only where the other side honours tokens.
   * - `'ask-person'`: never again by itself. The message waits in attention, and its key with it.
   * - a probe: ask the outside world; see `Probe`.
   */
  readonly whenUnknown?: 'repeat' | 'ask-person' | ((data: Data, context: ProbeContext) => Awaitable<Probe<R>>)
  /** Only for these messages. For the others the result is undefined, or its status 'skipped'. Must decide by the data alone. */
  readonly when?: (data: Data) => boolean
  /** How long an answer is waited for; then the outcome is unknown. 10 ms to 1 day, default 30 s. */
  readonly timeoutMs?: number
  /** What is remembered of a result: checked, and stripped of what the schema does not name. */
  readonly result?: StandardSchemaV1<unknown, Kept>
}

/** A declared external call. `Out` is what `apply` gets for it. */
export interface Call<Data, R, Out = R> {
  readonly run: (data: Data, context: CallContext) => Awaitable<R>
  readonly rule: CallRule
  readonly probe: ((data: Data, context: ProbeContext) => Awaitable<Probe<R>>) | undefined
  readonly when: ((data: Data) => boolean) | undefined
  readonly whenFailed: 'fail-attempt' | 'apply'
  readonly timeoutMs: number
  readonly result: StandardSchemaV1 | undefined
  readonly '~out'?: Out
}

export type CallRule = 'repeat' | 'ask-person' | 'probe'

// biome-ignore lint/suspicious/noExplicitAny: a call for whatever data
export type AnyCall = Call<any, any, any>

/** The results of declared calls, by name, as JSON gives them back. */
export type CallResults<E> = { readonly [K in keyof E]: E[K] extends Call<infer _Data, infer _Result, infer Out> ? Out : never }

/**
 * Declares an external call: something no transaction reaches. It is made before `apply`, outside any transaction, and
 * journaled before and after, so that a crash leaves one of three known states: it happened (and its result is remembered
 * and never asked for again), the other side refused it, or its outcome is unknown and `whenUnknown` says what then.
 *
 * One call is one request: what makes two requests can be known to have failed at the second only. The calls of a message
 * run at the same time and see nothing of each other; a call that depends on another belongs to a consumer of a topic that
 * `apply` publishes to.
 *
 * What `run` throws is *known to have failed* when the other side answered (an HTTP status from 400 to 499, an SMTP reply),
 * when no connection was made, and for `CallFailed`, `TerminalError` and `RetryLater`; everything else, a timeout or a lost
 * connection above all, leaves the outcome unknown, as `CallUnknown` says outright. Of a repeat only `CallFailed`,
 * `TerminalError` and an HTTP 402 are believed: what is down now may have acted before.
 *
 * @throws OnefoldError `OPTION_INVALID` naming the option.
 * @example
 * app.consume(orders, {
 *   group: 'receipt',
 *   calls: { mail: call((order, { token }) => mailer.send(order.email, { idempotencyKey: token }), { whenUnknown: 'ask-person' }) },
 *   apply(order, { tx, calls }) { tx.run('update orders set mail = ? where id = ?', calls.mail.id, order.id) },
 * })
 */
export function call<D, R, Kept = R>(
  run: Call<D, R>['run'],
  options: CallOptions<NoInfer<D>, NoInfer<R>, Kept> & { readonly whenFailed: 'apply' },
): Call<D, R, CallOutcome<Json<NoInfer<Kept>>>>
export function call<D, R, Kept = R>(
  run: Call<D, R>['run'],
  options: CallOptions<NoInfer<D>, NoInfer<R>, Kept> & { readonly when: (data: NoInfer<D>) => boolean },
): Call<D, R, Json<NoInfer<Kept>> | undefined>
export function call<D, R, Kept = R>(
  run: Call<D, R>['run'],
  options?: CallOptions<NoInfer<D>, NoInfer<R>, Kept>,
): Call<D, R, Json<NoInfer<Kept>>>
export function call(
  run: AnyCall['run'],
  options: CallOptions<unknown, unknown, unknown> & { readonly whenFailed?: 'apply' } = {},
): AnyCall {
  if (typeof run !== 'function') throw optionInvalid('call', run, 'a function that makes the request')
  const { whenUnknown = 'repeat', when, whenFailed, timeoutMs = 30_000, result } = options
  if (whenUnknown !== 'repeat' && whenUnknown !== 'ask-person' && typeof whenUnknown !== 'function')
    throw optionInvalid('whenUnknown', whenUnknown, "'repeat', 'ask-person' or a function that asks the other side")
  if (whenFailed !== undefined && whenFailed !== 'apply') throw optionInvalid('whenFailed', whenFailed, "'apply', or left out")
  if (when !== undefined && typeof when !== 'function') throw optionInvalid('when', when, 'a function of the data')
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 10 || timeoutMs > 24 * 3_600_000)
    throw optionInvalid('timeoutMs', timeoutMs, 'a whole number from 10 to 86400000')
  if (result !== undefined && typeof result['~standard']?.validate !== 'function')
    throw optionInvalid('result', result, 'a Standard Schema (zod, valibot, arktype …)')
  return {
    run,
    rule: typeof whenUnknown === 'function' ? 'probe' : whenUnknown,
    probe: typeof whenUnknown === 'function' ? whenUnknown : undefined,
    when,
    whenFailed: whenFailed ?? 'fail-attempt',
    timeoutMs,
    result,
  }
}
