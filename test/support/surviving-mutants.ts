export interface Survivor {
  readonly file: string
  /** How what the generator prints begins. */
  readonly text: string
  /** A part of the line it stands in, where there are others like it. */
  readonly within?: string
  /** Equivalent: nothing is promised that it breaks. Unseen: something is, and the simulator has no eyes for it. */
  readonly is: 'equivalent' | 'unseen'
  readonly why: string
  /** Unseen: what goes red instead, under test/. Undefined: nothing yet that is known of. */
  readonly shownBy?: string | undefined
}

/** Nothing is promised that it breaks. */
const equivalent = (file: string, text: string, within: string, why: string): Survivor => ({
  file,
  text,
  within,
  is: 'equivalent',
  why,
})
/** Something is, and the simulator has no eyes for it. */
const unseen = (file: string, text: string, within: string, why: string, shownBy: string | undefined): Survivor => ({
  file,
  text,
  within,
  is: 'unseen',
  why,
  shownBy,
})

const parkedStore = 'database/sqlite/parked-store.test.ts'
const pinned = 'database/sqlite/pinned-identities.test.ts'
const callStore = 'database/sqlite/call-store.test.ts'

/** Which process tries to take a lease, and when. */
const byEpoch =
  'when a lease is tried, and by whom, is decided by who looks alive and whose turn it is; who may commit, by the epoch'

export const survivors: readonly Survivor[] = [
  unseen(
    'database/sqlite/parked-store.ts',
    'subscription = ?',
    "partition = ? and state in ('waiting', 'calling') limit 1",
    'every process of the simulator runs all groups, and waits for all of them',
    'consume/groups.test.ts',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'partition = ?',
    "partition = ? and state in ('waiting', 'calling') limit 1",
    'whoever asks asks for every partition of the group, and one open message in any of them is enough',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'subscription = ?',
    'partition = ? and lane = ? limit 1',
    'nobody in the simulator discards: who was ahead of a message goes only when it is done',
    'regression/parked-behind-nobody.test.ts',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'partition = ?',
    'partition = ? and lane = ? limit 1',
    'all messages of a key are in one partition',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'partition = ?',
    'select distinct lane',
    'all messages of a key are in one partition: what else is held holds none of them',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'lane is not null',
    'select distinct lane',
    'what has no key looks for none: one more look at the list, while a message without a key waits',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    "state = 'behind'",
    '',
    'no subject has two messages of a key that wait for a person, of which somebody takes away the later one',
    'consume/late-messages.test.ts',
  ),
  equivalent(
    'database/sqlite/ownership-store.ts',
    'epoch = ?',
    '{p}lease set owner = null where name',
    "a lease that is given back by who no longer has it is nobody's: its owner is refused, and it is taken again",
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'subscription = ?',
    'select distinct lane',
    'a key that another group holds is taken for held until it is looked at again: later, not otherwise',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'subscription = ?',
    "where subscription = ? and partition = ? and state = 'calling'",
    'no partition of two groups with calls under way changes hands for one of them alone',
    parkedStore,
  ),
  unseen('database/sqlite/parked-store.ts', 'id = ?5', '', 'nobody in the simulator erases', parkedStore),
  unseen(
    'database/sqlite/parked-store.ts',
    "state in ('waiting', 'calling')",
    'where parked = ? and attempts = ?',
    'nobody in the simulator takes a message away between the look at it and its turn: that is what erasing does',
    parkedStore,
  ),
  equivalent(
    'consume/parked-attempt.ts',
    'await session.parked.failed(row, change, nowMs)',
    '',
    'what a process that stops does not give back is reclaimed by the next owner, and its attempt does not count either way',
  ),
  equivalent('database/sqlite/ownership-store.ts', 'owner = ?', '{p}member where owner', byEpoch),
  equivalent('database/sqlite/ownership-store.ts', 'owner = ?', 'delete from {p}owner', byEpoch),
  equivalent('database/sqlite/ownership-store.ts', 'owner = ?', '{p}lease set until_ms', byEpoch),
  equivalent('database/sqlite/ownership-store.ts', 'owner = ?', '{p}lease set owner = null where owner', byEpoch),
  equivalent('database/sqlite/ownership-store.ts', 'owner = ?', 'delete from {p}member where membership', byEpoch),
  equivalent('database/sqlite/ownership-store.ts', 'membership = ?', 'delete from {p}member where membership', byEpoch),
  equivalent('database/sqlite/ownership-store.ts', 'membership = ?', 'select owner from {p}member where', byEpoch),
  equivalent(
    'database/sqlite/ownership-store.ts',
    'name = ?',
    '{p}lease set owner = null where name',
    'another lease of the same epoch is given back too early, and taken again under a newer one',
  ),
  equivalent(
    'database/sqlite/ownership-store.ts',
    'name = ?',
    '{p}lease set crashes',
    'the suspicion of another partition ends too early, and comes back with the next crash',
  ),
  equivalent(
    'database/sqlite/ownership-store.ts',
    'epoch = ?',
    '{p}lease set crashes',
    'who was taken over ends a suspicion too early, and it comes back with the next crash',
  ),
  equivalent(
    'database/sqlite/ownership-store.ts',
    'owner is not null',
    'set commits',
    "a lease that was released and not taken again is nobody's: a late commit of its last owner overtakes nobody",
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'sequence is ?',
    'select 1 from {p}parked where subscription = ? and source',
    'no message of the simulator is numbered by its producer',
    parkedStore,
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'source = ?',
    'select 1 from {p}parked where subscription = ? and source',
    'all messages of a topic have one source in the simulator',
    parkedStore,
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'data = ?',
    'select 1 from {p}parked where subscription = ? and source',
    'no subject parks two messages of one id with different data',
    parkedStore,
  ),
  unseen('database/sqlite/parked-store.ts', 'position = (select', '', 'nobody in the simulator erases', parkedStore),
  unseen('database/sqlite/parked-store.ts', 'source = ?4', '', 'nobody in the simulator erases', parkedStore),
  unseen(
    'database/sqlite/parked-store.ts',
    'due_ms <= ?',
    'where subscription = ? and partition',
    'how long a message waits for its next attempt is not judged',
    parkedStore,
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'lane = ?',
    'select 1 from {p}parked where subscription = ? and partition = ? and lane',
    'a key taken for held waits until it is looked at again: later, not otherwise',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    "state in ('waiting', 'calling')",
    'set state =',
    'nobody in the simulator takes a message away between the look at it and its turn: that is what erasing does',
    parkedStore,
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'attempts = ?',
    'where parked = ? and attempts = ?',
    'the attempts and the time at which it was due both tell a turn from another: one of them is enough',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'due_ms = ?',
    'where parked = ? and attempts = ?',
    'the attempts and the time at which it was due both tell a turn from another: one of them is enough',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'partition = ?3',
    'select min(parked)',
    'all messages of a key are in one partition',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'subscription = ?',
    'delete from {p}start_mark',
    'a start of another message is forgotten with it: whoever ends its process is given up after a few starts more',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'partition = ?',
    'delete from {p}start_mark',
    'a start of another message is forgotten with it: whoever ends its process is given up after a few starts more',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'identity = ?',
    'delete from {p}start_mark',
    'a start of another message is forgotten with it: whoever ends its process is given up after a few starts more',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'subscription = ?',
    'identity, starts from {p}start_mark',
    'a start mark of somebody else makes a message run alone, which changes nothing but its pace',
  ),
  equivalent(
    'database/sqlite/parked-store.ts',
    'partition = ?',
    'identity, starts from {p}start_mark',
    'a start mark of somebody else makes a message run alone, which changes nothing but its pace',
  ),
  equivalent(
    'database/sqlite/inbox-store.ts',
    'subscription = ?',
    'select 1 from {p}parked',
    'spares a look at an empty list; the look itself is exact',
  ),
  equivalent(
    'database/sqlite/call-store.ts',
    'round = ?',
    'where subscription = ? and identity = ? and name = ? and round = ?',
    'only the newest round of a call is ever unsettled',
  ),
  equivalent(
    'database/sqlite/call-store.ts',
    "state in ('intent', 'unknown')",
    '',
    'the commit that records an answer is fenced, and while its owner lives nobody else may settle the round',
  ),
  equivalent(
    'database/sqlite/call-store.ts',
    "state in ('intent', 'unknown', 'did-not-happen')",
    '',
    'the next step of a call is never to make a round again that is settled',
  ),
  unseen('database/sqlite/call-store.ts', 'lease <> ', '', 'nobody in the simulator erases', 'erase/erase.test.ts'),
  unseen(
    'database/sqlite/call-store.ts',
    'subscription = ?',
    "set state = 'voided'",
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'identity = ?',
    "set state = 'voided'",
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    "state in ('did-not-happen', 'failed')",
    "set state = 'voided'",
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'round = (select max(round)',
    '',
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'topic = ?',
    'select max(generation)',
    'the journal of calls is not cleaned up in the simulator',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'grp in (',
    'select max(generation)',
    'the journal of calls is not cleaned up in the simulator',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'identity in (select',
    '',
    'all processes of the simulator run the same program: no call is renamed',
    callStore,
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'subscription = ?1',
    'select distinct name',
    'all processes of the simulator run the same program: no call is renamed',
    callStore,
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'topic = ?',
    'set duplicates',
    'the counter of duplicates of a topic is not compared',
    pinned,
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'topic = ?',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
    pinned,
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'source = ?',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
    pinned,
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'id = ?',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
    pinned,
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'sequence is null',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
    pinned,
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'topic = ?',
    'select subscription from',
    'no two topics of a subject have messages of the same id that wait for a person',
    pinned,
  ),
  equivalent(
    'consume/commit.ts',
    'if (state.handlers.aborted)',
    '',
    'the partition is given up instead of waited for, and taken again: later, not otherwise',
  ),
  unseen(
    'consume/commit.ts',
    "if (isOnefoldError(error, 'NOT_FOUND')",
    '',
    'no group of the simulator is removed while it is at work',
    undefined,
  ),
  unseen(
    'consume/consumer.ts',
    'if (gate === undefined)',
    '',
    'nobody in the simulator pauses a group',
    'consume/groups.test.ts',
  ),
  unseen(
    'consume/consumer.ts',
    'if (!isOnefoldError(error) || error.retry',
    '',
    'no subscription of the simulator ends with an error',
    undefined,
  ),
  unseen(
    'consume/call-strategy.ts',
    'if (answers.size === requests.length)',
    '',
    'the second of two such looks: no answer of the simulator comes long after another',
    'consume/calls.test.ts',
  ),
  unseen(
    'consume/call-requests.ts',
    "if (typeof said === 'object'",
    '',
    'what a probe knows and nobody believes, a person settles in the end: that one was asked for nothing is not judged',
    'consume/calls.test.ts',
  ),
  unseen(
    'consume/receive-strategy.ts',
    'await session.checkpoints.advance(',
    'applied: there ? 1 : 0',
    'how many messages a group has received outside of transactions is not counted',
    'regression/parked-behind-nobody.test.ts',
  ),
  equivalent(
    'consume/receive-strategy.ts',
    'if (this.#running !== undefined',
    '',
    'what is not acknowledged on the way is acknowledged at the end',
  ),
  unseen(
    'consume/time-limit.ts',
    'if (!isThenable(result))',
    '',
    'nothing in the simulator takes longer than it may',
    'consume/receive.test.ts',
  ),
  equivalent(
    'consume/partition-loop.ts',
    'if (!suspects.marked(item.identity))',
    '',
    'whoever is marked runs alone or not: suspected it is all the same as long as its lease counts crashes',
  ),
  unseen(
    'publish/publish-queue.ts',
    'if (this.#messages > 0)',
    '',
    'nobody in the simulator publishes while its app stops',
    'consume/stop.test.ts',
  ),
  unseen(
    'publish/publish-queue.ts',
    'if (error instanceof OnefoldError)',
    '',
    'which message an error names is not judged',
    'publish/publish.test.ts',
  ),
  unseen(
    'publish/publisher.ts',
    'if (error instanceof OnefoldError)',
    '',
    'which message an error names is not judged',
    'publish/publish.test.ts',
  ),
]

/** Why a generated mutant is not noticed: it changes nothing that matters, or the simulator cannot see it. */
export function whySurvives(file: string, text: string, within: string): Survivor | undefined {
  return survivors.find((one) => one.file === file && text.startsWith(one.text) && within.includes(one.within ?? ''))
}

export const inWords = ({ is, why, shownBy }: Survivor): string =>
  `${is}: ${why}${shownBy === undefined ? '' : ` (test/${shownBy})`}`
