/** Single corruptions of a correct history, each with the checker that must notice. */
import type {
  CheckerName,
  EffectOperation,
  History,
  MessageName,
  Operation,
  PublishOperation,
  RequestOperation,
} from '../../../src/testing/index.ts'
import type { Shape } from './correct-history.ts'

export interface Corrupted {
  readonly history: History
  readonly noticedBy: CheckerName
}

/** Undefined: there is nothing in this history that it could be done to. `pick` chooses one of several places. */
export type Corruption = (history: History, shape: Shape, pick: <T>(of: readonly T[]) => T | undefined) => Corrupted | undefined

interface At<O> {
  readonly index: number
  readonly operation: O
}

class Facts {
  readonly history: History
  readonly end: number

  constructor(history: History) {
    this.history = history
    this.end = history.at(-1)?.op === 'end' ? history.length - 1 : history.length
  }

  all<Op extends Operation['op']>(op: Op): At<Extract<Operation, { op: Op }>>[] {
    return this.history.flatMap((operation, index) =>
      operation.op === op ? [{ index, operation: operation as Extract<Operation, { op: Op }> }] : [],
    )
  }

  publishesOf({ topic, identity }: MessageName): At<PublishOperation>[] {
    return this.all('publish').filter(({ operation }) => operation.topic === topic && operation.identity === identity)
  }

  /** Published once, and known to be. */
  isPlain(name: MessageName): boolean {
    const publishes = this.publishesOf(name)
    return publishes.length === 1 && publishes[0]?.operation.outcome === 'happened'
  }

  publish(name: MessageName): PublishOperation | undefined {
    return this.publishesOf(name)[0]?.operation
  }

  /** Effects that committed at once, of messages about which there is nothing else to say. */
  plainEffects(): At<EffectOperation>[] {
    const erased = new Set(this.all('person').flatMap(({ operation }) => operation.key ?? []))
    const troubled = new Set<string>()
    const nameOf = (operation: { topic: string; group?: string | undefined; identity?: string | undefined }): string =>
      JSON.stringify([operation.topic, operation.group, operation.identity])
    for (const { operation } of [...this.all('attention'), ...this.all('person')]) troubled.add(nameOf(operation))
    const effects = this.all('effect')
    for (const { operation } of effects) if (operation.outcome === 'unknown') troubled.add(nameOf(operation))
    const plain = new Set<string>()
    for (const [identity, publishes] of Map.groupBy(this.all('publish'), ({ operation }) => operation.identity)) {
      if (
        publishes.length === 1 &&
        publishes[0]?.operation.outcome === 'happened' &&
        !erased.has(publishes[0].operation.key ?? '')
      )
        plain.add(identity)
    }
    return effects.filter(
      ({ operation }) => operation.outcome === 'happened' && !troubled.has(nameOf(operation)) && plain.has(operation.identity),
    )
  }

  /** Nobody waits for a person anywhere in its lane. */
  laneIsFree({ operation }: At<EffectOperation>, { order }: Shape): boolean {
    const lane = (name: MessageName): string | undefined => (order === 'key' ? this.publish(name)?.key : '')
    return !this.all('attention').some(
      (each) =>
        each.operation.topic === operation.topic &&
        each.operation.group === operation.group &&
        lane(each.operation) === lane(operation),
    )
  }

  /** Two effects of one lane and producer, in their right order. */
  pairs(shape: Shape): (readonly [At<EffectOperation>, At<EffectOperation>])[] {
    const lanes = Map.groupBy(this.plainEffects(), ({ operation }) => {
      const { key, producer } = this.publish(operation) ?? {}
      return JSON.stringify([operation.topic, operation.group, producer, shape.order === 'total' ? '' : key])
    })
    return [...lanes.values()].flatMap((lane) => lane.slice(1).map((later, index) => [lane[index]!, later] as const))
  }
}

const same = (one: Operation, other: { topic: string; group: string; identity: string }, op: Operation['op']): boolean =>
  one.op === op &&
  'group' in one &&
  'identity' in one &&
  one.topic === other.topic &&
  one.group === other.group &&
  one.identity === other.identity

const without = (history: History, remove: (operation: Operation, index: number) => boolean): Operation[] =>
  history.filter((operation, index) => !remove(operation, index))
const inserted = (history: History, index: number, ...operations: Operation[]): Operation[] =>
  history.toSpliced(index, 0, ...operations)
const swapped = (history: History, one: number, other: number): Operation[] =>
  history.with(one, history[other]!).with(other, history[one]!)
const moved = (history: History, from: number, to: number): Operation[] =>
  history.toSpliced(from, 1).toSpliced(to, 0, history[from]!)
const found = (history: History | undefined, noticedBy: CheckerName): Corrupted | undefined =>
  history === undefined ? undefined : { history, noticedBy }

/** Without its effect, inbox mark and what it caused. */
const unapplied = (history: History, { operation }: At<EffectOperation>): Operation[] =>
  without(
    history,
    (each) =>
      same(each, operation, 'effect') ||
      same(each, operation, 'inbox') ||
      (each.op === 'publish' && each.cause?.identity === operation.identity && operation.group === 'ledger'),
  )

export const corruptions: Readonly<Record<string, Corruption>> = {
  'an effect is lost': (history, shape, pick) => {
    const facts = new Facts(history)
    if (shape.end !== 'quiet') return undefined
    const victim = pick(facts.plainEffects().filter((at) => facts.laneIsFree(at, shape)))
    return victim && found(unapplied(history, victim), 'no-loss')
  },
  'an effect waits for ever': (history, shape, pick) => {
    const facts = new Facts(history)
    const end = history.at(-1)
    if (end?.op !== 'end' || shape.end !== 'quiet, waiting told') return undefined
    const victim = pick(facts.plainEffects().filter((at) => facts.laneIsFree(at, shape)))
    if (victim === undefined) return undefined
    const { topic, group, identity } = victim.operation
    const waiting = [...(end.waiting ?? []), { topic, group, identity }]
    return found([...unapplied(history, victim).slice(0, -1), { ...end, waiting }], 'liveness')
  },
  'an effect is passed over': (history, shape, pick) => {
    const victim = pick(new Facts(history).pairs(shape))
    return victim && found(unapplied(history, victim[0]), 'key-gap')
  },
  'an effect is there twice': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.plainEffects())
    return (
      victim &&
      found(inserted(history, pick([victim.index + 1, facts.end]) ?? facts.end, victim.operation), 'no-duplicate-effect')
    )
  },
  'an effect of nothing': (history, _, pick) => {
    const victim = pick(new Facts(history).plainEffects())
    return victim && found(inserted(history, victim.index, { ...victim.operation, identity: 'never published' }), 'no-phantom')
  },
  'an effect of what was refused': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.plainEffects())
    const publish = victim && facts.publishesOf(victim.operation)[0]
    if (publish === undefined) return undefined
    return found(
      history.with(publish.index, { ...publish.operation, outcome: 'did-not-happen', receipt: 'refused' }),
      'no-phantom',
    )
  },
  'an effect of another body': (history, _, pick) => {
    const victim = pick(new Facts(history).plainEffects())
    return victim && found(history.with(victim.index, { ...victim.operation, body: 'another' }), 'no-phantom')
  },
  'two are accepted': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.all('publish').filter(({ operation }) => operation.receipt === 'accepted'))
    return victim && found(inserted(history, facts.end, { ...victim.operation, order: 9_999 }), 'receipts')
  },
  'two of a key change places': (history, shape, pick) => {
    const victim = pick(new Facts(history).pairs(shape))
    return (
      victim && found(swapped(history, victim[0].index, victim[1].index), shape.order === 'total' ? 'total-order' : 'key-order')
    )
  },
  'two groups part': (history, shape, pick) => {
    if (shape.order !== 'total') return undefined
    const facts = new Facts(history)
    const ledger = facts.plainEffects().filter(({ operation }) => operation.group === 'ledger')
    const audit = new Set(
      facts
        .all('effect')
        .filter(({ operation }) => operation.group === 'audit')
        .map(({ operation }) => operation.identity),
    )
    const inBoth = ledger.filter(({ operation }) => audit.has(operation.identity))
    const first = pick(inBoth.slice(0, -1))
    const second = first && inBoth[inBoth.indexOf(first) + 1]
    return second && found(swapped(history, first.index, second.index), 'total-order')
  },
  'a place falls': (history, shape, pick) => {
    if (shape.order !== 'total') return undefined
    const effects = new Facts(history)
      .all('effect')
      .filter(({ operation }) => operation.outcome === 'happened' && operation.group === 'audit')
    const victim = pick(effects.slice(1))
    return victim && found(history.with(victim.index, { ...victim.operation, place: [0, 99] }), 'total-order')
  },
  'an answer before its question': (history, shape, pick) => {
    if (shape.order !== 'causal') return undefined
    const facts = new Facts(history)
    const plain = facts.plainEffects().filter(({ operation }) => operation.topic === 'orders')
    const pairs = plain.flatMap((answer) =>
      (facts.publish(answer.operation)?.after ?? []).flatMap(({ identity }) => {
        const question = plain.find(
          ({ operation }) => operation.identity === identity && operation.group === answer.operation.group,
        )
        return question === undefined ? [] : [[question, answer] as const]
      }),
    )
    const victim = pick(pairs)
    return victim && found(moved(history, victim[1].index, victim[0].index), 'causal-order')
  },
  'a replica differs': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.all('snapshot').filter(({ operation }) => operation.facts !== undefined))
    return victim && found(inserted(history, facts.end, { ...victim.operation, replica: 'other', state: 'else' }), 'convergence')
  },
  'money is made': (history, _, pick) => {
    const victim = pick(new Facts(history).all('snapshot').filter(({ operation }) => operation.of === 'balances'))
    return victim && found(history.with(victim.index, { ...victim.operation, state: { bank: 1 } }), 'conservation')
  },
  'the inbox does not know': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.plainEffects())
    if (
      victim === undefined ||
      facts.all('inbox').filter(({ operation }) => operation.group === victim.operation.group).length < 2
    )
      return undefined
    return found(
      without(history, (each) => same(each, victim.operation, 'inbox')),
      'one-transaction',
    )
  },
  'the inbox knows of what is not there': (history, shape, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.plainEffects())
    if (victim === undefined || shape.order === 'total') return undefined
    return found(
      without(history, (each) => same(each, victim.operation, 'effect')),
      'one-transaction',
    )
  },
  'the inbox commits apart': (history, _, pick) => {
    const facts = new Facts(history)
    const plain = new Set(facts.plainEffects().map(({ operation }) => `${operation.group} ${operation.identity}`))
    const victim = pick(facts.all('inbox').filter(({ operation }) => plain.has(`${operation.group} ${operation.identity}`)))
    return victim && found(history.with(victim.index, { ...victim.operation, transaction: 'its own' }), 'one-transaction')
  },
  'an outbox row never leaves': (history, _, pick) => {
    const facts = new Facts(history)
    const ledger = facts.plainEffects().filter(({ operation }) => operation.group === 'ledger')
    const plain = new Set(ledger.map(({ operation }) => operation.identity))
    const caused = facts.all('publish').filter(({ operation }) => operation.cause !== undefined)
    const victim =
      caused.length < 2 ? undefined : pick(caused.filter(({ operation }) => plain.has(operation.cause?.identity ?? '')))
    return (
      victim &&
      found(
        without(history, (_, index) => index === victim.index),
        'one-transaction',
      )
    )
  },
  'a message of an attempt that was undone': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.plainEffects().filter(({ operation }) => operation.group === 'ledger'))
    if (victim === undefined) return undefined
    const ghost: PublishOperation = {
      op: 'publish',
      topic: 'summaries',
      identity: 'ghost',
      outcome: 'happened',
      cause: victim.operation,
    }
    return found(inserted(history, victim.index, ghost), 'one-transaction')
  },
  "a producer's row is missing": (history, _, pick) => {
    const facts = new Facts(history)
    const rows = facts.all('fact')
    const victim =
      rows.length < 2
        ? undefined
        : pick(rows.filter(({ operation }) => facts.isPlain({ topic: 'orders', identity: operation.fact.slice(4) })))
    return (
      victim &&
      found(
        without(history, (_, index) => index === victim.index),
        'one-transaction',
      )
    )
  },
  'a zombie commits': (history, _, pick) => {
    const effects = new Facts(history)
      .all('effect')
      .filter(({ operation }) => operation.group === 'ledger' && operation.outcome === 'happened')
    const victim = pick(effects.slice(1))
    return victim && found(history.with(victim.index, { ...victim.operation, epoch: 0 }), 'fenced')
  },
  'a publish stays in doubt': (history, shape, pick) => {
    if (!shape.end.startsWith('quiet')) return undefined
    const facts = new Facts(history)
    const doubtful: PublishOperation = {
      op: 'publish',
      topic: 'orders',
      identity: 'in doubt',
      outcome: 'unknown',
      producer: 'who lives',
      order: 1,
    }
    return found(inserted(history, pick([1, facts.end]) ?? 1, doubtful), 'honest-unknowns')
  },
  'a publish is repeated under another identity': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(
      facts.all('publish').filter(({ operation }) => operation.intent !== undefined && operation.outcome !== 'did-not-happen'),
    )
    return (
      victim && found(inserted(history, facts.end, { ...victim.operation, identity: 'another', order: 9_999 }), 'honest-unknowns')
    )
  },
  'applied while a call is in doubt': (history, _, pick) => {
    const victim = pick(new Facts(history).plainEffects())
    if (victim === undefined) return undefined
    const { topic, group, identity } = victim.operation
    const doubtful: RequestOperation = { op: 'request', topic, group, identity, call: 'wire', token: 'wire', outcome: 'unknown' }
    return found(inserted(history, victim.index, doubtful), 'honest-unknowns')
  },
  'no person is told': (history, shape, pick) => {
    const facts = new Facts(history)
    if (!shape.end.startsWith('quiet')) return undefined
    const left = facts.all('attention').filter(({ index, operation }) => {
      const others = facts.all('attention').filter((each) => each.index !== index && each.operation.topic === operation.topic)
      const touched = history.some((each) => same(each, operation, 'person') || (each.op === 'person' && each.key !== undefined))
      const unknown = history.some(
        (each) => each.op === 'effect' && each.outcome === 'unknown' && same(each, operation, 'effect'),
      )
      return others.length === 0 && !touched && !unknown && facts.isPlain(operation)
    })
    const victim = pick(left)
    return (
      victim &&
      found(
        without(history, (_, index) => index === victim.index),
        shape.end === 'quiet' ? 'no-loss' : 'liveness',
      )
    )
  },
  'a person is shown what is done': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.plainEffects())
    if (victim === undefined) return undefined
    const { topic, group, identity } = victim.operation
    return found(inserted(history, facts.end, { op: 'attention', topic, group, identity, kind: 'dead-letter' }), 'attention')
  },
  'charged twice': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.all('charge'))
    return victim && found(inserted(history, facts.end, { ...victim.operation, id: 'another' }), 'charged-once')
  },
  'a new token in doubt': (history, _, pick) => {
    const facts = new Facts(history)
    const requests = facts.all('request')
    const settled = new Set(facts.all('settle').map(({ operation }) => operation.token))
    const victim = pick(
      requests.filter(({ index, operation }) => {
        const before = requests.filter((each) => each.index < index && each.operation.token === operation.token)
        return before.length > 0 && before.every((each) => each.operation.outcome === 'unknown') && !settled.has(operation.token)
      }),
    )
    return victim && found(history.with(victim.index, { ...victim.operation, token: 'fresh' }), 'call-token')
  },
  'asked for again': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(
      facts.all('request').filter(({ operation }) => operation.call === 'sms' && operation.outcome === 'unknown'),
    )
    return victim && found(inserted(history, victim.index + 1, victim.operation), 'call-repeat')
  },
  'one token for two': (history, _, pick) => {
    const facts = new Facts(history)
    const victim = pick(facts.all('request'))
    const other =
      victim &&
      pick(
        facts
          .all('request')
          .filter(
            ({ operation }) => operation.identity !== victim.operation.identity && operation.call === victim.operation.call,
          ),
      )
    return other && found(history.with(victim.index, { ...victim.operation, token: other.operation.token }), 'call-token-shared')
  },
  'a call out of its turn': (history, shape, pick) => {
    const facts = new Facts(history)
    const requests = facts.all('request')
    const of = ({ operation }: At<EffectOperation>): At<RequestOperation>[] =>
      requests.filter((each) => same(each.operation, operation, 'request'))
    // A repeat by somebody who did not apply it may come that late: a zombie's.
    const last = (one: At<EffectOperation>): At<RequestOperation> | undefined =>
      of(one).findLast(({ operation }) => operation.worker === one.operation.worker)
    const victim = pick(facts.pairs(shape).filter(([one, other]) => last(one) !== undefined && of(other).length > 0))
    const first = victim && last(victim[0])
    const second = victim && of(victim[1])[0]
    return first && second && found(moved(history, first.index, second.index), 'call-turn')
  },
  'an answer of another': (history, _, pick) => {
    const victim = pick(
      new Facts(history)
        .all('effect')
        .filter(({ operation }) => operation.outcome === 'happened' && operation.calls !== undefined),
    )
    const calls = victim && Object.fromEntries(Object.keys(victim.operation.calls ?? {}).map((call) => [call, 'made up']))
    return calls && found(history.with(victim.index, { ...victim.operation, calls }), 'call-result')
  },
  'a charge of the forgotten': (history, shape, pick) => {
    if (shape.end !== 'quiet') return undefined
    const facts = new Facts(history)
    const charged = new Set(facts.all('charge').map(({ operation }) => operation.identity))
    const victim = pick(
      facts.plainEffects().filter(({ operation }) => operation.group === 'ledger' && charged.has(operation.identity)),
    )
    return victim && found(unapplied(history, victim), 'call-silence')
  },
  'a handler throws dice': (history, _, pick) => {
    const victim = pick(new Facts(history).all('effect').filter(({ operation }) => operation.wrote !== undefined))
    return (
      victim &&
      found(inserted(history, victim.index, { ...victim.operation, outcome: 'did-not-happen', wrote: 'else' }), 'determinism')
    )
  },
}
