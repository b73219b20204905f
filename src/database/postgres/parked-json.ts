/** What goes into statements of the parked store as JSON, besides the messages themselves. */
import type { AttemptRecord, AttentionReason } from '../../attention/attention-store.ts'
import type { NewParked } from '../../consume/parked-store.ts'
import { keptAttempts } from '../../consume/parked-store.ts'
import { storable } from './sql.ts'

/** As `reasonJson` writes it, for `json_to_record(…) as r (…)`. */
export const reasonRecord = 'kind text, fingerprint text, error_name text, error_message text, error_stack text'

export function reasonJson(reason: AttentionReason | undefined) {
  if (reason === undefined) return {}
  return { kind: reason.kind, fingerprint: storable(reason.fingerprint), ...errorJson(reason) }
}

/** The newest few, each with its turn. */
export function attemptJson(failures: readonly AttemptRecord[]) {
  return failures
    .map((failure, index) => ({
      turn: index + 1,
      attempt: failure.attempt,
      at_ms: Math.floor(failure.atMs),
      ...errorJson(failure),
    }))
    .slice(-keptAttempts)
}

function errorJson({ errorName, errorMessage, errorStack }: Pick<AttemptRecord, 'errorName' | 'errorMessage' | 'errorStack'>) {
  return { error_name: storable(errorName), error_message: storable(errorMessage), error_stack: storable(errorStack) }
}

/** The same message twice in one call is parked once. */
export function unrepeated(messages: readonly NewParked[]): readonly NewParked[] {
  if (messages.length === 1) return messages
  const first = new Map<string, NewParked>()
  for (const message of messages) {
    const { source, id, sequence, json } = message.envelope
    const name = JSON.stringify([source, id, sequence?.toString(), json])
    if (!first.has(name)) first.set(name, message)
  }
  return [...first.values()]
}
