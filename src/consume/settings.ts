import type { AnyCall } from '../call.ts'
import { optionInvalid } from '../errors.ts'
import { checkName } from '../topic.ts'
import { whole } from '../whole-number.ts'
import type { AttemptSettings } from './attempts.ts'
import type { ConsumeOptions, Semantics } from './consume-options.ts'

export interface ConsumeSettingsChecked extends AttemptSettings {
  readonly semantics: Semantics
  readonly startFrom: 'earliest' | 'latest'
  readonly batchSize: number
  readonly maxCrashes: number
  readonly onExhausted: 'hold' | 'skip'
  readonly concurrency: number
  /** One message's transaction (`apply`) or one attempt (`receive`). */
  readonly timeoutMs: number
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** Every option with its default, or an error naming the one that is wrong. */
export function checkConsumeOptions(options: ConsumeOptions<unknown, unknown>): ConsumeSettingsChecked {
  checkName('group', options.group)
  const handlers = (['apply', 'applyBatch', 'receive'] as const).filter((name) => options[name] !== undefined)
  const handler = handlers[0]
  if (handlers.length !== 1 || handler === undefined || typeof options[handler] !== 'function') {
    throw optionInvalid('consume', handlers.join(' and ') || undefined, 'given exactly one handler: apply, applyBatch or receive')
  }
  const semantics = options.semantics ?? 'effectively-once'
  if (semantics !== 'effectively-once' && semantics !== 'at-least-once' && semantics !== 'at-most-once') {
    throw optionInvalid('semantics', semantics, "'effectively-once', 'at-least-once' or 'at-most-once'")
  }
  if (handler === 'receive' && semantics === 'effectively-once') {
    throw optionInvalid(
      'semantics',
      options.semantics,
      "'at-least-once' or 'at-most-once' for a receive handler: only what commits with the proof (apply) can be effectively once",
    )
  }
  if (handler !== 'receive' && semantics !== 'effectively-once') {
    throw optionInvalid(
      'semantics',
      semantics,
      `'effectively-once' for ${handler}; use a receive handler for the weaker promises`,
    )
  }
  const startFrom = options.startFrom ?? 'earliest'
  if (startFrom !== 'earliest' && startFrom !== 'latest') throw optionInvalid('startFrom', startFrom, "'earliest' or 'latest'")
  const onExhausted = options.onExhausted ?? 'hold'
  if (onExhausted !== 'hold' && onExhausted !== 'skip') throw optionInvalid('onExhausted', onExhausted, "'hold' or 'skip'")
  const receives = options.receive !== undefined ? options : undefined
  const applies = options.receive === undefined ? options : undefined
  const calls = checkCalls(applies?.calls)
  const maxAttempts = whole('maxAttempts', options.maxAttempts, 8, 1, 1_000)
  return {
    semantics,
    startFrom,
    onExhausted,
    maxAttempts,
    inlineAttempts: Math.min(maxAttempts, whole('inlineAttempts', options.inlineAttempts, 2, 1, 10)),
    batchSize: whole('batchSize', options.batchSize, receives === undefined && calls === 0 ? 500 : 64, 1, 10_000),
    backoffMs: whole('backoffMs', options.backoffMs, 1_000, 0, hourMs),
    maxBackoffMs: whole('maxBackoffMs', options.maxBackoffMs, 300_000, 0, dayMs),
    maxCrashes: whole('maxCrashes', options.maxCrashes, 3, 1, 100),
    concurrency: whole('concurrency', concurrencyOf(options, calls), calls > 0 ? 10 : 1, 1, 1_000),
    timeoutMs:
      receives === undefined
        ? whole('transactionTimeoutMs', applies?.transactionTimeoutMs, 30_000, 10, hourMs)
        : whole('timeoutMs', receives.timeoutMs, 30_000, 10, dayMs),
  }
}

function checkCalls(calls: unknown): number {
  if (calls === undefined) return 0
  if (typeof calls !== 'object' || calls === null) throw optionInvalid('calls', calls, 'an object of calls by name')
  const entries = Object.entries(calls)
  for (const [name, one] of entries) {
    checkName('calls', name)
    if (typeof (one as Partial<AnyCall> | null)?.run !== 'function' || (one as Partial<AnyCall>).rule === undefined)
      throw optionInvalid(`calls.${name}`, one, 'made with call()')
  }
  return entries.length
}

function concurrencyOf(options: ConsumeOptions<unknown, unknown>, calls: number): number | undefined {
  if (options.receive === undefined && options.concurrency !== undefined && calls === 0)
    throw optionInvalid(
      'concurrency',
      options.concurrency,
      'left out where no calls are declared: one transaction runs at a time',
    )
  return options.concurrency
}
