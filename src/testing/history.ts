/**
 * What happened, as the outside saw it: the one input of every checker. A simulator, a torture run on real processes and a
 * user's own test write the same operations down, in one list, and are judged by the same functions.
 *
 * The place of an operation in the list is its *index*; a checker names operations by it. What the order of the list must say,
 * and nothing more is read out of it:
 * - effects of one group stand in the order in which they were committed, and so do `inbox` marks and snapshots;
 * - requests and charges stand in the order in which the outside world saw them;
 * - publishes of one producer stand in the order in which it made them (or say so by `order`);
 * - what a person did, and what came to attention, stand in their order among the effects of that group, where it is known.
 * A publish may stand after its effect: a receipt can be slower than a consumer.
 *
 * Only what is known is written down: every optional field makes further checks possible, and its absence accuses nobody.
 */
import type { AttentionKind } from '../attention/attention-store.ts'
import { optionInvalid } from '../errors.ts'
import { parseJson } from '../parse-json.ts'

/**
 * happened · did-not-happen: known for certain · unknown: it may or may not have happened, once, at this place or later. No
 * checker accuses anybody of what is possible under either.
 */
export type OperationOutcome = 'happened' | 'did-not-happen' | 'unknown'

/** A message as the outside tells it from others: an id of its own, `source/id`, whatever the run can observe on both ends. */
export interface MessageName {
  readonly topic: string
  readonly identity: string
}

/** A message and the group that consumes it. */
export interface MessageOfGroup extends MessageName {
  readonly group: string
}

/** The group is owed every message of the topic. Without this, only groups that are seen to do something are known. */
export interface ConsumerOperation {
  readonly op: 'consumer'
  readonly topic: string
  readonly group: string
  /** 'latest': owed only what is published after this operation. Default 'earliest'. */
  readonly from?: 'earliest' | 'latest'
}

/** One publish of one message: a repeat is an operation of its own, with the same identity. */
export interface PublishOperation extends MessageName {
  readonly op: 'publish'
  readonly outcome: OperationOutcome
  /** What the publisher was told, where it was told something. 'refused' goes with 'did-not-happen'. */
  readonly receipt?: 'accepted' | 'duplicate' | 'refused'
  readonly key?: string
  /** Who published, as one that goes on after a restart. Messages that name no producer stand in no producer's order. */
  readonly producer?: string
  /** Rises in the order in which this producer published. Default: the place in the history. A repeat is made later, so has a later one. */
  readonly order?: number
  /** The body, or a digest of it. */
  readonly body?: string
  /** What the producer wanted said, in its own words: the same when it says it again under another identity. */
  readonly intent?: string
  /** Messages its producer had applied or seen before: for causal order. */
  readonly after?: readonly MessageName[]
  /** The message whose effect published this one: both are there or neither. */
  readonly cause?: MessageOfGroup
  /** The transaction it committed in, where it was one with something else. */
  readonly transaction?: string
  /** A fact of the producer's own (see `FactOperation`) that commits in the same transaction: both are there or neither. */
  readonly fact?: string
}

/**
 * One attempt at a message by one group. 'happened': it has committed, also when the handler decided to change nothing ·
 * 'did-not-happen': it was rolled back.
 */
export interface EffectOperation extends MessageOfGroup {
  readonly op: 'effect'
  readonly outcome: OperationOutcome
  /** From 1. */
  readonly attempt?: number
  /** Which life of which process: a restart is another. */
  readonly worker?: string
  /** What it was owned under; `epoch` is compared within it. Default: the topic as a whole. */
  readonly partition?: string
  readonly epoch?: number
  /** One of several that apply the same messages to states of their own. Default: the group has one state. */
  readonly replica?: string
  /** Where the broker put the message, as epoch and number: for total order, compared epoch first. */
  readonly place?: readonly [epoch: number, number: number]
  readonly transaction?: string
  /** The body it was handed, or a digest of it. */
  readonly body?: string
  /** Times the body was edited by a person. Default 0. */
  readonly revision?: number
  /** What the handler read, or a digest: same message and same `read` must give the same `wrote` and `emits`. */
  readonly read?: string
  /** What it wrote, or a digest. Absent when it threw. */
  readonly wrote?: string
  /** What it published. `identity` where the handler chose it; `body` to compare by when it was minted. */
  readonly emits?: readonly Emitted[]
  /** What it was handed of its calls: name → the outside world's id of the charge. */
  readonly calls?: Readonly<Record<string, string>>
}

export interface Emitted {
  readonly topic: string
  readonly identity?: string
  readonly key?: string
  readonly body?: string
}

/** The library's own record says from this commit on that the group has applied the message: inbox row, checkpoint, or parked row removed. */
export interface InboxOperation extends MessageOfGroup {
  readonly op: 'inbox'
  readonly transaction?: string
}

/** A row of a producer's own, committed together with the publish that names it. */
export interface FactOperation {
  readonly op: 'fact'
  readonly fact: string
  readonly transaction?: string
}

/** One request of one declared call, as whoever made it knows it ended. */
export interface RequestOperation extends MessageOfGroup {
  readonly op: 'request'
  readonly call: string
  readonly token: string
  /** happened: answered yes · did-not-happen: answered no · unknown: no answer, or one that says nothing. */
  readonly outcome: OperationOutcome
  /**
   * What a no speaks of. 'token' (default): nothing happened under this token ("declined") · 'request': this request did nothing,
   * and earlier ones may have ("busy").
   */
  readonly refuses?: 'token' | 'request'
  readonly round?: number
  readonly worker?: string
  /** When it arrived and, if it was, when it was answered, by one clock: shows requests of one key that overlap. */
  readonly beganMs?: number
  readonly endedMs?: number
}

/** A probe, an answer that came late, or a person said what became of the requests under a token. */
export interface SettleOperation extends MessageOfGroup {
  readonly op: 'settle'
  readonly call: string
  readonly token: string
  /** voided: it did not happen, and cannot happen any more under this token. */
  readonly as: 'happened' | 'did-not-happen' | 'voided'
  readonly by?: string
}

/** An entry in the outside world's own ledger: it did what it was asked for. */
export interface ChargeOperation extends MessageOfGroup {
  readonly op: 'charge'
  readonly call: string
  readonly token: string
  /** The outside world's id for it. */
  readonly id: string
}

/** From here on the message is shown to a person. */
export interface AttentionOperation extends MessageOfGroup {
  readonly op: 'attention'
  readonly kind: AttentionKind
}

/**
 * redrive, edit: it goes on · settle: its unknown outcomes are settled, and it goes on · put-aside: it counts as applied ·
 * discard: it will not be applied · erase: its data is gone, whether applied or not.
 */
export type PersonAction = 'redrive' | 'edit' | 'settle' | 'put-aside' | 'discard' | 'erase'

export interface PersonOperation {
  readonly op: 'person'
  readonly action: PersonAction
  readonly outcome: OperationOutcome
  readonly by: string
  readonly topic: string
  /** Absent: every group (erase). */
  readonly group?: string
  /** One of both; `key` for all messages of a key whose publish stands before this (erase). */
  readonly identity?: string
  readonly key?: string
}

/** A committed state, read in one transaction. */
export interface SnapshotOperation {
  readonly op: 'snapshot'
  /** What it is a state of: 'balances'. */
  readonly of: string
  /** Whose copy of it. Default: there is one. */
  readonly replica?: string
  /** JSON. */
  readonly state: unknown
  /** What has been applied to it, in any order: two snapshots of one thing with the same facts must show the same state. */
  readonly facts?: readonly string[]
}

export interface FaultOperation {
  readonly op: 'fault'
  /** What was done: 'SIGKILL', 'error after commit'. */
  readonly fault: string
  /** The worker or producer that it ended for good. */
  readonly ends?: string
  /** Where: a point of the library, a system call, a port's method. */
  readonly at?: string
}

export interface EndOperation {
  readonly op: 'end'
  /** After the last fault everybody had all the time and all the workers needed: what is not done now never will be. */
  readonly quiet: boolean
  /**
   * What the system itself still shows as on its way: parked, in the log past the checkpoint, in the outbox (then without a
   * group). Complete, or absent. Present, and be it empty, it tells what is lost from what is stuck.
   */
  readonly waiting?: readonly (MessageName & { readonly group?: string })[]
}

export type Operation =
  | ConsumerOperation
  | PublishOperation
  | EffectOperation
  | InboxOperation
  | FactOperation
  | RequestOperation
  | SettleOperation
  | ChargeOperation
  | AttentionOperation
  | PersonOperation
  | SnapshotOperation
  | FaultOperation
  | EndOperation

/** At most one `end`, at the end. Without one nothing is said to be lost or stuck: the run may still go on. */
export type History = readonly Operation[]

/** One operation a line: appended to while a run goes on, and whole up to the last line break when it was killed. */
export function historyToLines(history: History): string {
  return history.map((operation) => `${JSON.stringify(operation)}\n`).join('')
}

/**
 * The history that `historyToLines` wrote. Empty lines are skipped; a last line without a line break is left out when it is not
 * whole.
 *
 * @throws OnefoldError `OPTION_INVALID` naming the line and the field.
 */
export function historyFromLines(text: string): Operation[] {
  const lines = text.split('\n')
  const torn = lines.pop() ?? ''
  const history = lines.flatMap((line, index) => (line.trim() === '' ? [] : [operationOf(line, index + 1)]))
  if (torn.trim() === '' || !isJson(torn)) return history
  return [...history, operationOf(torn, lines.length + 1)]
}

const ofGroup = ['topic', 'group', 'identity'] as const
const required: Readonly<Record<Operation['op'], readonly string[]>> = {
  consumer: ['topic', 'group'],
  publish: ['topic', 'identity', 'outcome'],
  effect: [...ofGroup, 'outcome'],
  inbox: ofGroup,
  fact: ['fact'],
  request: [...ofGroup, 'call', 'token', 'outcome'],
  settle: [...ofGroup, 'call', 'token', 'as'],
  charge: [...ofGroup, 'call', 'token', 'id'],
  attention: [...ofGroup, 'kind'],
  person: ['action', 'outcome', 'by', 'topic'],
  snapshot: ['of'],
  fault: ['fault'],
  end: [],
}
const outcomes: readonly unknown[] = ['happened', 'did-not-happen', 'unknown'] satisfies OperationOutcome[]

function isJson(text: string): boolean {
  try {
    parseJson(text)
    return true
  } catch {
    return false
  }
}

function operationOf(line: string, number: number): Operation {
  const found: unknown = isJson(line) ? parseJson(line) : undefined
  if (found === null || typeof found !== 'object') throw optionInvalid(`history line ${number}`, line, 'a JSON object')
  const fields = found as Readonly<Record<string, unknown>>
  const { op } = fields
  if (typeof op !== 'string' || !Object.hasOwn(required, op)) {
    throw optionInvalid(`history line ${number}: op`, op, `one of ${Object.keys(required).join(', ')}`)
  }
  for (const field of required[op as Operation['op']]) {
    const value = fields[field]
    const wanted = field === 'outcome' ? outcomes.includes(value) : typeof value === 'string'
    if (!wanted) {
      throw optionInvalid(`history line ${number}: ${field}`, value, field === 'outcome' ? outcomes.join(', ') : 'a text')
    }
  }
  if (op === 'end' && typeof fields.quiet !== 'boolean') {
    throw optionInvalid(`history line ${number}: quiet`, fields.quiet, 'true or false')
  }
  return found as Operation
}
