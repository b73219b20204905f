import type { AttemptsGuarantee } from './guarantee.ts'
import type { DeclaredConsumer } from './topology.ts'
import { duration, times } from './words.ts'

/** How often a message is attempted, how long that can last, and what happens after the last attempt. */
export function attemptsOf({ topic, settings, calls }: DeclaredConsumer): AttemptsGuarantee {
  const { maxAttempts, inlineAttempts, backoffMs, maxBackoffMs, maxCrashes, timeoutMs, onExhausted } = settings
  const facts = { backoffMs, maxBackoffMs, maxCrashes, timeoutMs }
  if (settings.semantics === 'at-most-once') {
    return {
      ...facts,
      maxAttempts: 1,
      inlineAttempts: 1,
      delaysAtMostMs: 0,
      afterTheLast: 'lost',
      says: 'One attempt; what fails then is lost.',
    }
  }
  // After an outcome that is unknown nothing is repeated at once, so there every attempt but the first has a delay.
  const withoutDelay = Object.keys(calls).length > 0 ? 1 : inlineAttempts
  const letsPass = onExhausted === 'skip' && topic.settings.order !== 'none'
  const later = maxAttempts - inlineAttempts
  return {
    ...facts,
    maxAttempts,
    inlineAttempts,
    delaysAtMostMs: delaysAtMostMs(maxAttempts - withoutDelay, backoffMs, maxBackoffMs),
    afterTheLast: onExhausted,
    says: [
      maxAttempts === 1 ? 'One attempt.' : `${maxAttempts} attempts: ${times(inlineAttempts)} at once`,
      ...(maxAttempts === 1
        ? []
        : later > 0
          ? [
              `, then after random delays, the first up to ${duration(Math.min(backoffMs, maxBackoffMs))}, each bound twice the one before, at most ${duration(maxBackoffMs)}.`,
            ]
          : ['.']),
      ` After the last one, or at once for a TerminalError and for data that does not fit: a dead letter${letsPass ? '; later messages pass it' : ''}.`,
      ` A process that dies is no attempt of the message; one that runs alone when it dies ${times(maxCrashes)} is a dead letter too.`,
    ].join(''),
  }
}

/** As `nextStep` in consume/attempts.ts draws them: never below 1 ms, the n-th at most min(maxBackoffMs, backoffMs × 2ⁿ). */
function delaysAtMostMs(delays: number, backoffMs: number, maxBackoffMs: number): number {
  let sum = 0
  for (let n = 0; n < delays; n++) sum += Math.max(1, Math.min(maxBackoffMs, backoffMs * 2 ** Math.min(n, 50)))
  return sum
}
