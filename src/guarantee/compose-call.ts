import type { CallCard } from './card.ts'
import type { CallGuarantee, Weakening } from './guarantee.ts'
import { duration } from './words.ts'

/** What an external call keeps: no transaction reaches it, so all of it is said. */
export function composeCall(
  { name, claims }: CallCard,
  consumer: { readonly where: string; readonly maxAttempts: number },
): CallGuarantee {
  const { rule, whenFailed, timeoutMs, conditional } = claims
  return {
    name,
    rule,
    whenFailed,
    timeoutMs,
    conditional,
    resultIsChecked: claims['result is checked'],
    holds: [
      'Journaled before it is made and after it was answered. Once recorded as happened it is never made again for this message: its result is remembered.',
      ...ruleHolds(claims, consumer.maxAttempts),
      whenFailed === 'apply'
        ? 'A refusal is handed to apply as its outcome, and the call is not made again.'
        : 'A refusal fails the attempt; the next one makes the call in a new round, with a new token.',
      ...(claims['result is checked']
        ? ['An answer that does not fit `result` waits for a person: the call happened, its result is missing.']
        : []),
    ],
    doesNotHold: ruleDoesNotHold(claims),
    weakenedBy: weakenings(claims, `${consumer.where}.calls.${name}`),
  }
}

function ruleHolds({ rule, timeoutMs }: CallCard['claims'], maxAttempts: number): string[] {
  const unanswered = `No answer within ${duration(timeoutMs)}, a lost connection or a crash`
  switch (rule) {
    case 'repeat':
      return [`${unanswered}: made again with the same token, up to attempt ${maxAttempts}; then a person decides.`]
    case 'ask-person':
      return [`${unanswered}: never made again by itself; the message and its key wait until a person has settled it.`]
    case 'probe':
      return [
        `${unanswered}: the probe is asked. It happened: its result is remembered. 'did-not-happen': made again with the same token. 'voided': with a new one. 'unknown': asked again, up to attempt ${maxAttempts}; then a person decides.`,
      ]
  }
}

function ruleDoesNotHold({ rule }: CallCard['claims']): string[] {
  switch (rule) {
    case 'repeat':
      return ['Once, where the other side does not honour tokens.']
    case 'ask-person':
      return ["That it goes on without a person, who must know that what is settled as 'did not happen' cannot happen any more."]
    case 'probe':
      return ["Once, where a request may act after the probe has answered 'did-not-happen'."]
  }
}

function weakenings({ rule }: CallCard['claims'], where: string): Weakening[] {
  switch (rule) {
    case 'repeat':
      return [
        {
          option: 'whenUnknown',
          value: 'repeat',
          where,
          says: 'once only where the other side honours tokens; else the window is: from the request until the commit that records its answer',
        },
      ]
    case 'probe':
      return [
        {
          option: 'whenUnknown',
          value: 'a probe',
          where,
          says: `'did-not-happen' must mean and cannot happen any more: unless the provider honours or voids tokens, a request still on its way may act after it: the window is from the probe's answer until that request can act no more`,
        },
      ]
    case 'ask-person':
      return []
  }
}
