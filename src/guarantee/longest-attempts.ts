import type { ConsumerGuarantee } from './guarantee.ts'

/**
 * The longest time, in ms, from a message's first attempt to the end of its last: every attempt takes all the time it may, and
 * every delay is as long as it may be. Not counted, because nothing bounds them: a handler's `RetryLater`, a process that is
 * down, and a person.
 */
export function longestAttemptsMs({ attempts, calls }: Pick<ConsumerGuarantee, 'attempts' | 'calls'>): number {
  const longestMs = (of: readonly { readonly timeoutMs: number }[]): number =>
    Math.max(0, ...of.map(({ timeoutMs }) => timeoutMs))
  // What is unknown is asked about first; then all calls of the message are made at the same time; then it is applied.
  const eachMs = longestMs(calls.filter(({ rule }) => rule === 'probe')) + longestMs(calls) + attempts.timeoutMs
  return attempts.maxAttempts * eachMs + attempts.delaysAtMostMs
}
