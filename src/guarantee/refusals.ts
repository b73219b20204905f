import { OnefoldError } from '../errors.ts'
import type { ConsumerGuarantee, Guarantee, StartRefusal } from './guarantee.ts'
import { longestAttemptsMs } from './longest-attempts.ts'

type Composed = Omit<Guarantee, 'refusals'>
/** Undefined: nothing against it. The sentence names the consumer, what it asks for, and what to change. */
type Check = (consumer: ConsumerGuarantee, guarantee: Composed) => Pick<StartRefusal, 'option' | 'says'> | undefined

/**
 * Everything that `start()` refuses because it cannot keep what a consumer asks for. A check added here is made at
 * `start()` and shown by `explain`.
 */
const checks: readonly Check[] = [onceOnADiskThatForgets, attemptsOutliveTheWindow]

function onceOnADiskThatForgets({ topic, group, semantics }: ConsumerGuarantee, { database }: Composed) {
  if (semantics !== 'effectively-once' || database.claims['committed means on disk'] === true) return undefined
  const option = database.claims['durability option']
  return {
    option,
    says: `group ${group} of topic ${topic} asks for effectively-once, but the database may lose a committed transaction on power loss. Set ${option}: '${database.claims['durable when set to']}', or ask for semantics: 'at-least-once'.`,
  }
}

/** Else a repeat could come after its identity was forgotten, and before the attempts of the first copy have ended. */
function attemptsOutliveTheWindow(consumer: ConsumerGuarantee) {
  const { topic, group, semantics, window } = consumer
  const ours = window.recognisedBy === 'inbox' || window.recognisedBy === 'log'
  if (semantics !== 'effectively-once' || !ours || window.ms === null) return undefined
  const neededMs = longestAttemptsMs(consumer)
  if (window.ms >= neededMs) return undefined
  return {
    option: 'dedupWindow.ms',
    says: `group ${group} of topic ${topic} may attempt a message for ${neededMs} ms (maxAttempts, the time each may take, and the delays between them), longer than the ${window.ms} ms for which repeats are recognised. Set dedupWindow.ms to ${neededMs} or more, or lower maxAttempts or maxBackoffMs.`,
  }
}

export function refusals(guarantee: Composed): StartRefusal[] {
  return guarantee.consumers.flatMap((consumer) =>
    checks.flatMap((check) => {
      const refusal = check(consumer, guarantee)
      return refusal === undefined ? [] : [{ topic: consumer.topic, group: consumer.group, ...refusal }]
    }),
  )
}

/**
 * For `start()`: only what it is about to start counts.
 *
 * @throws OnefoldError `GUARANTEE_IMPOSSIBLE` naming the option.
 */
export function refuseImpossible(
  guarantee: Guarantee,
  started: readonly { readonly topic: string; readonly group: string }[],
): void {
  const first = guarantee.refusals.find(({ topic, group }) => started.some((one) => one.topic === topic && one.group === group))
  if (first === undefined) return
  const { topic, group, option, says } = first
  throw new OnefoldError('GUARANTEE_IMPOSSIBLE', says, { details: { topic, group, option } })
}
