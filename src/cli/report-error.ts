import type { OnefoldError } from '../errors.ts'
import { isOnefoldError } from '../errors.ts'
import { printableLines, wrap } from './readable.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

export interface ErrorDocument {
  readonly code: string
  readonly message: string
  readonly outcome: string
  readonly retry: string
  readonly details: Readonly<Record<string, unknown>>
}

export function describeError(error: unknown): ErrorDocument {
  if (isOnefoldError(error)) {
    const { code, message, outcome, retry, details } = error
    return { code, message, outcome, retry, details }
  }
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof UsageError) return { code: 'USAGE', message, outcome: 'not-applied', retry: 'never', details: {} }
  // Neither the caller's mistake nor an error thrown on purpose: nothing is known about what happened.
  return { code: 'UNEXPECTED', message, outcome: 'unknown', retry: 'never', details: {} }
}

/** Tells people, or with `json` programs, what went wrong. Answers the exit code. */
export async function reportError(
  error: unknown,
  context: { command: string | undefined; json: boolean; terminal: Terminal },
): Promise<number> {
  const { command, json, terminal } = context
  const exitCode = error instanceof UsageError ? 2 : 1
  if (json) {
    try {
      await terminal.json({ error: describeError(error) })
      return exitCode
    } catch {
      // stdout itself is what failed: then people are told.
    }
  }
  if (error instanceof UsageError) {
    const help = command === undefined ? 'onefold --help' : `onefold ${command} --help`
    terminal.note(`onefold: ${printableLines(error.message)}\n  ${help} tells more`)
  } else if (isOnefoldError(error)) {
    terminal.note(`onefold: ${printableLines(error.message)}\n${wrap(`code ${error.code}: ${advice(error)}`, 2)}`)
  } else {
    terminal.note(`onefold: ${printableLines(error instanceof Error ? (error.stack ?? error.message) : String(error))}`)
  }
  return exitCode
}

/** The message says what to do about the cause; this says what became of the call, and whether repeating it helps. */
function advice(error: OnefoldError): string {
  const happened = {
    'not-applied': 'nothing was changed',
    applied: 'it has happened',
    unknown: 'whether it happened is unknown',
  }[error.outcome]
  const next = {
    now: '; run the same command again: the same ids make that harmless',
    later: '; run the same command again later',
    never: '',
  }[error.retry]
  return `${happened}${next}`
}
