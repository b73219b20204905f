interface Survivor {
  readonly file: string
  /** How what the generator prints begins. */
  readonly text: string
  /** A part of the line it stands in, where there are others like it. */
  readonly within?: string
  /** Equivalent: nothing is promised that it breaks. Unseen: something is, and the simulator has no eyes for it. */
  readonly is: 'equivalent' | 'unseen'
  readonly why: string
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
const unseen = (file: string, text: string, within: string, why: string): Survivor => ({ file, text, within, is: 'unseen', why })

/** Which process tries to take a lease, and when. */
const byEpoch =
  'when a lease is tried, and by whom, is decided by who looks alive and whose turn it is; who may commit, by the epoch'

const survivors: readonly Survivor[] = [
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
  ),
  unseen('database/sqlite/parked-store.ts', 'id = ?5', '', 'nobody in the simulator erases'),
  unseen(
    'database/sqlite/parked-store.ts',
    "state in ('waiting', 'calling')",
    'where parked = ? and attempts = ?',
    'nobody in the simulator takes a message away between the look at it and its turn: that is what erasing does',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'parked = ?1',
    'not exists',
    'lists of failed attempts are compared at the end, when those that wait have failed again',
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
  equivalent('database/sqlite/ownership-store.ts', 'm.membership = ?', '', byEpoch),
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
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'source = ?',
    'select 1 from {p}parked where subscription = ? and source',
    'all messages of a topic have one source in the simulator',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'data = ?',
    'select 1 from {p}parked where subscription = ? and source',
    'no subject parks two messages of one id with different data',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'id = ?',
    'select 1 from {p}parked where subscription = ? and source',
    'the data of every subject carry the id, and are compared as well',
  ),
  unseen('database/sqlite/parked-store.ts', 'position = (select', '', 'nobody in the simulator erases'),
  unseen('database/sqlite/parked-store.ts', 'source = ?4', '', 'nobody in the simulator erases'),
  unseen(
    'database/sqlite/parked-store.ts',
    'due_ms <= ?',
    'where subscription = ? and partition',
    'how long a message waits for its next attempt is not judged',
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
  unseen(
    'database/sqlite/parked-store.ts',
    'turn <= (select',
    '',
    'no message of the simulator fails more often than attempts are kept',
  ),
  unseen(
    'database/sqlite/parked-store.ts',
    'parked = ?1',
    '{p}attempt where parked = ?1 and turn',
    'no message of the simulator fails more often than attempts are kept',
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
  unseen('database/sqlite/call-store.ts', 'lease <> ', '', 'nobody in the simulator erases'),
  unseen(
    'database/sqlite/call-store.ts',
    'subscription = ?',
    "set state = 'voided'",
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'identity = ?',
    "set state = 'voided'",
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    "state in ('did-not-happen', 'failed')",
    "set state = 'voided'",
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'round = (select max(round)',
    '',
    'a refused call has a new round anyway; that nothing happened is said of no call of a message that is then edited',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'topic = ?',
    'select max(generation)',
    'the journal of calls is not cleaned up in the simulator',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'grp in (',
    'select max(generation)',
    'the journal of calls is not cleaned up in the simulator',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'identity in (select',
    '',
    'all processes of the simulator run the same program: no call is renamed',
  ),
  unseen(
    'database/sqlite/call-store.ts',
    'subscription = ?1',
    'select distinct name',
    'all processes of the simulator run the same program: no call is renamed',
  ),
  unseen('database/sqlite/log-store.ts', 'topic = ?', 'set duplicates', 'the counter of duplicates of a topic is not compared'),
  unseen(
    'database/sqlite/log-store.ts',
    'topic = ?',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'source = ?',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'id = ?',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'sequence is null',
    'select data from {p}schedule',
    'no delayed message of the simulator is published again when its window has forgotten it',
  ),
  unseen(
    'database/sqlite/log-store.ts',
    'topic = ?',
    'select subscription from',
    'no two topics of a subject have messages of the same id that wait for a person',
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
  ),
  unseen('consume/consumer.ts', 'if (gate === undefined)', '', 'nobody in the simulator pauses a group'),
  unseen(
    'consume/consumer.ts',
    'if (!isOnefoldError(error) || error.retry',
    '',
    'no subscription of the simulator ends with an error',
  ),
  unseen(
    'consume/consumer.ts',
    'if (!options.brokerIsDatabase',
    '',
    'nobody in the simulator asks whether an app behind a broker elsewhere is idle',
  ),
  equivalent(
    'consume/call-strategy.ts',
    'if (answers.size === requests.length)',
    '',
    'when answers are recorded that came before others, not which',
  ),
  unseen(
    'consume/call-requests.ts',
    "if (typeof said === 'object'",
    '',
    'what a probe knows and nobody believes, a person settles in the end: that one was asked for nothing is not judged',
  ),
  unseen(
    'consume/receive-strategy.ts',
    'await session.checkpoints.advance(',
    'await session.checkpoints.advance(subscription, state.partition, {',
    'no standard subject receives at most once',
  ),
  equivalent(
    'consume/receive-strategy.ts',
    'if (this.#running !== undefined',
    '',
    'what is not acknowledged on the way is acknowledged at the end',
  ),
  unseen('consume/time-limit.ts', 'if (!isThenable(result))', '', 'nothing in the simulator takes longer than it may'),
  equivalent(
    'consume/partition-loop.ts',
    'if (!suspects.marked(item.identity))',
    '',
    'whoever is marked runs alone or not: suspected it is all the same as long as its lease counts crashes',
  ),
  unseen('publish/publish-queue.ts', 'if (this.#messages > 0)', '', 'nobody in the simulator publishes while its app stops'),
  unseen('publish/publish-queue.ts', 'if (error instanceof OnefoldError)', '', 'which message an error names is not judged'),
  unseen('publish/publisher.ts', 'if (error instanceof OnefoldError)', '', 'which message an error names is not judged'),
]

/** Why a generated mutant is not noticed: it changes nothing that matters, or the simulator cannot see it. */
export function whySurvives(file: string, text: string, within: string): string | undefined {
  const found = survivors.find((one) => one.file === file && text.startsWith(one.text) && within.includes(one.within ?? ''))
  return found === undefined ? undefined : `${found.is}: ${found.why}`
}
