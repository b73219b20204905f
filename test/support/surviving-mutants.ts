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

const survivors: readonly Survivor[] = [
  {
    file: 'database/sqlite/call-store.ts',
    text: "state in ('did-not-happen', 'failed')",
    is: 'unseen',
    why: 'no other side in the simulator refuses, so no refused round is ever made anew by a person',
  },
  {
    file: 'consume/commit.ts',
    text: 'if (state.handlers.aborted)',
    is: 'equivalent',
    why: 'the partition is given up instead of waited for, and taken again: later, not otherwise',
  },
  {
    file: 'database/sqlite/ownership-store.ts',
    text: 'l.owner is null',
    is: 'equivalent',
    why: 'when a lease is tried is decided by who looks alive; who may commit, by the epoch',
  },
  {
    file: 'database/sqlite/log-store.ts',
    text: 'topic = ?',
    within: 'select subscription from',
    is: 'unseen',
    why: 'no window of the simulator has forgotten anything',
  },
  {
    file: 'database/sqlite/log-store.ts',
    text: 'id = ?',
    within: 'select data from {p}schedule',
    is: 'unseen',
    why: 'no window of the simulator has forgotten anything',
  },
  {
    file: 'database/sqlite/parked-store.ts',
    text: 'parked = ?1',
    within: '{p}attempt',
    is: 'unseen',
    why: 'the list of failed attempts that a person reads is not compared',
  },
  {
    file: 'publish/publish-queue.ts',
    text: 'if (open === 0)',
    is: 'unseen',
    why: 'nothing in the simulator publishes many at once',
  },
  {
    file: 'consume/parked-attempt.ts',
    text: 'await session.parked.failed(row, change, nowMs)',
    is: 'unseen',
    why: 'no process of the simulator is told to stop while a parked message has its turn',
  },
  {
    file: 'database/sqlite/call-store.ts',
    text: 'identity in (select',
    is: 'unseen',
    why: 'all processes of the simulator run the same program: no call is renamed',
  },
  {
    file: 'database/sqlite/parked-store.ts',
    text: 'subscription = ?',
    within: '{p}start_mark where',
    is: 'equivalent',
    why: "another group's start mark makes a message run alone, which changes nothing but its pace",
  },
  {
    file: 'database/sqlite/parked-store.ts',
    text: 'partition = ?',
    within: '{p}start_mark where',
    is: 'equivalent',
    why: "another partition's start mark makes a message run alone, which changes nothing but its pace",
  },
  {
    file: 'consume/partition-loop.ts',
    text: 'if (this.#busy || this.#parkedDirty || this.#underWay > 0)',
    is: 'unseen',
    why: 'nobody in the simulator asks whether an app is idle',
  },
  {
    file: 'database/sqlite/inbox-store.ts',
    text: 'subscription = ?',
    within: 'select 1 from {p}parked',
    is: 'equivalent',
    why: 'spares a look at an empty list; the look itself is exact',
  },
  {
    file: 'consume/parked-attempt.ts',
    text: 'await session.startMarks.clear',
    is: 'unseen',
    why: 'no handler of the simulator kills its process, so no mark ever counts',
  },
  {
    file: 'consume/apply-strategy.ts',
    text: 'await session.startMarks.clear',
    is: 'unseen',
    why: 'no handler of the simulator kills its process, so no mark ever counts',
  },
  {
    file: 'database/sqlite/ownership-store.ts',
    text: 'owner is not null',
    within: 'set commits',
    is: 'equivalent',
    why: "a lease that was released and not taken again is nobody's: a late commit of its last owner overtakes nobody",
  },
  {
    file: 'database/sqlite/parked-store.ts',
    text: "state in ('waiting', 'calling')",
    within: 'set state =',
    is: 'unseen',
    why: 'no person in the simulator takes a message between the look at it and its turn',
  },
  {
    file: 'database/sqlite/call-store.ts',
    text: 'subscription = ?',
    within: 'where subscription = ? and identity = ? and name = ? and round = ?',
    is: 'unseen',
    why: 'no two groups of the standard subjects make calls for the same message',
  },
  {
    file: 'database/sqlite/ownership-store.ts',
    text: 'owner = ?',
    within: '{p}member where owner',
    is: 'unseen',
    why: 'no process of the simulator leaves in good order',
  },
  {
    file: 'consume/parked-attempt.ts',
    text: 'await session.checkpoints.advance(',
    is: 'unseen',
    why: 'the counters of a group are not compared',
  },
  {
    file: 'database/sqlite/parked-store.ts',
    text: 'parked = ?1',
    within: 'not exists',
    is: 'unseen',
    why: 'the list of failed attempts that a person reads is not compared',
  },
  {
    file: 'database/sqlite/call-store.ts',
    text: 'round = (select max(round)',
    is: 'unseen',
    why: 'no other side in the simulator refuses, so no refused round is ever made anew by a person',
  },
  {
    file: 'database/sqlite/call-store.ts',
    text: "state in ('intent', 'unknown')",
    is: 'equivalent',
    why: 'the commit that records an answer is fenced, and while its owner lives nobody else may settle the round',
  },
  {
    file: 'consume/call-requests.ts',
    text: "if (typeof said === 'object'",
    is: 'unseen',
    why: 'what a probe knows and nobody believes, a person settles in the end: that one was asked for nothing is not judged',
  },
  {
    file: 'consume/call-requests.ts',
    text: 'if (checked.issues !== undefined)',
    is: 'unseen',
    why: 'no call of the standard subjects says what its answer must be like',
  },
]

/** Why a generated mutant is not noticed: it changes nothing that matters, or the simulator cannot see it. */
export function whySurvives(file: string, text: string, within: string): string | undefined {
  const found = survivors.find((one) => one.file === file && text.startsWith(one.text) && within.includes(one.within ?? ''))
  return found === undefined ? undefined : `${found.is}: ${found.why}`
}
