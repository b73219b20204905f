import { OnefoldError } from '../errors.ts'
import type { ConsumerGuarantee, Guarantee, StartRefusal } from './guarantee.ts'

type Composed = Omit<Guarantee, 'refusals'>
/** Undefined: nothing against it. The sentence names the consumer, what it asks for, and what to change. */
type Check = (consumer: ConsumerGuarantee, guarantee: Composed) => Pick<StartRefusal, 'option' | 'says'> | undefined

/**
 * Everything that `start()` refuses because it cannot keep what a consumer asks for. A check added here is made at
 * `start()` and shown by `explain`.
 */
const checks: readonly Check[] = [onceOnADiskThatForgets]

function onceOnADiskThatForgets({ topic, group, semantics }: ConsumerGuarantee, { database }: Composed) {
  if (semantics !== 'effectively-once' || database.claims['committed means on disk'] === true) return undefined
  const option = database.claims['durability option']
  return {
    option,
    says: `group ${group} of topic ${topic} asks for effectively-once, but the database may lose a committed transaction on power loss. Set ${option}: '${database.claims['durable when set to']}', or ask for semantics: 'at-least-once'.`,
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
