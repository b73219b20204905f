/** Makes the requests of declared calls and asks their probes. Nothing here throws: every end is an answer for the journal. */
import type { AnyCall, Probe } from '../call.ts'
import type { CallErrorRecord, CallSettlement } from '../calls/call-store.ts'
import { classifyError } from '../calls/classify-error.ts'
import { resultInvalid } from '../calls/next-call-step.ts'
import { isOnefoldError, OnefoldError } from '../errors.ts'
import type { ConsumerContext } from './consumer-context.ts'
import type { Item } from './item.ts'
import { withinTime } from './time-limit.ts'

/** One call of one message. */
export interface Request {
  readonly name: string
  readonly call: AnyCall
  readonly round: number
  readonly token: string
  /** An earlier request under this token may have happened, or may still happen. */
  readonly repeats: boolean
}

export interface Answer {
  readonly settlement: CallSettlement
  /** What was thrown, where something was. */
  readonly error?: unknown
  /** It was told to stop before the answer came. */
  readonly stopped?: boolean
}

/** JSON characters of one remembered result. */
const maxResultChars = 1024 * 1024

export async function makeRequest(
  context: ConsumerContext,
  item: Item,
  request: Request,
  options: { readonly attempt: number; readonly outer: AbortSignal },
): Promise<Answer> {
  const { call, token } = request
  let value: unknown
  context.watchdog?.enter()
  try {
    value = await withinTime(context.runtime, limits(request, item, options.outer), (signal) =>
      call.run(item.data, { token, signal, attempt: options.attempt }),
    )
  } catch (error) {
    const { outcome, earlier, record } = classifyError(error)
    return {
      settlement: { state: request.repeats ? earlier : outcome, error: record },
      error,
      stopped: isOnefoldError(error, 'ABORTED'),
    }
  } finally {
    context.watchdog?.leave()
  }
  return remember(call, value)
}

/** 'unknown' when the probe cannot tell, which leaves the outcome as it is. */
export async function askProbe(
  context: ConsumerContext,
  item: Item,
  request: Request,
  options: { readonly outer: AbortSignal },
): Promise<Answer> {
  const { call, token } = request
  let said: Probe<unknown>
  try {
    said = await withinTime(context.runtime, limits(request, item, options.outer), (signal) =>
      (call.probe ?? (() => 'unknown'))(item.data, { token, signal }),
    )
  } catch (error) {
    const { record } = classifyError(error)
    return { settlement: { state: 'unknown', error: record }, error, stopped: isOnefoldError(error, 'ABORTED') }
  }
  if (said === 'did-not-happen' || said === 'voided') return { settlement: { state: said } }
  if (typeof said === 'object' && said !== null && 'happened' in said) return remember(call, said.happened)
  const message =
    said === 'unknown'
      ? 'the probe could not tell'
      : "the probe must answer { happened: result }, 'did-not-happen', 'voided' or 'unknown'"
  return { settlement: { state: 'unknown', error: { name: 'CallUnknown', code: 'CALL_UNKNOWN', message } } }
}

function limits({ name, call }: Request, item: Item, outer: AbortSignal): Parameters<typeof withinTime>[1] {
  const which = `call ${name} of message ${item.envelope.id}`
  return {
    limitMs: call.timeoutMs,
    outer,
    expired: () =>
      new OnefoldError('CALL_UNKNOWN', `${which}: no answer within timeoutMs (${call.timeoutMs} ms).`, {
        outcome: 'unknown',
        retry: 'later',
      }),
    stopped: () => new OnefoldError('ABORTED', `${which}: stopped before the answer came.`, { outcome: 'unknown', retry: 'now' }),
  }
}

/** It happened, whatever becomes of its result. */
async function remember(call: AnyCall, value: unknown): Promise<Answer> {
  try {
    let kept = value
    if (call.result !== undefined) {
      const checked = await call.result['~standard'].validate(value)
      if (checked.issues !== undefined)
        return lost(`its answer is not what \`result\` says: ${checked.issues[0]?.message ?? 'no reason given'}`)
      kept = checked.value
    }
    const result = JSON.stringify(kept) as string | undefined
    if (result !== undefined && result.length > maxResultChars)
      return lost(
        `its answer has ${result.length} characters of JSON, more than ${maxResultChars}; name what is needed in \`result\``,
      )
    return { settlement: { state: 'happened', result } }
  } catch (error) {
    return lost(`its answer cannot be kept as JSON: ${(error as Error)?.message ?? String(error)}`, error)
  }
}

function lost(why: string, cause?: unknown): Answer {
  const message = `the call happened, but ${why}`
  const error = new OnefoldError(resultInvalid, message, { outcome: 'applied', retry: 'never', cause })
  const record: CallErrorRecord = { name: 'OnefoldError', code: resultInvalid, message: message.slice(0, 2_048) }
  return { settlement: { state: 'unknown', error: record }, error }
}
