import type { Change } from './source-copy.ts'

/** The source with one safeguard less. */
export interface SimulatorMutant {
  /** The standard subject that shows it. */
  readonly by: string
  readonly without: string
  readonly changes: readonly Change[]
  /** It takes two faults: found within so many of all placements of two. */
  readonly amongPairs?: number
  /** It takes two faults of which few pairs show it: one of those. All pairs of the subject would take minutes. */
  readonly shownBy?: string
}

const one = (by: string, without: string, file: string, from: string, to: string): SimulatorMutant => ({
  by,
  without,
  changes: [{ file, from, to }],
})

const applies = 'consume/apply-strategy.ts'
const attempts = 'consume/parked-attempt.ts'
const calls = 'consume/call-strategy.ts'
const parked = 'database/sqlite/parked-store.ts'
const inbox = 'database/sqlite/inbox-store.ts'
const ownership = 'database/sqlite/ownership-store.ts'
const steps = 'calls/next-call-step.ts'

const advance = 'await session.checkpoints.advance(subscription, state.partition, {'
const adopted = '        this.#adopt(state, tally)\n        rest = rest.slice(tally.done)'
const checkpointOf = (items: string): string =>
  `await commitUnderLease(this.#context, state, (session) => session.checkpoints.advance(this.#context.subscription, state.partition,
    { offset: ${items}.delivery.offset, applied: 0, suppressed: 0 }))`
const intend = 'await journal.intend(session, state.lease, plan.requests)'
const request = 'const answers = await this.#request(state, turn, plan.requests, journal)'
const emits = 'const refused = await this.#context.emit(session, total.outgoing)'

/** Delivery: once, all of it, in order. */
const delivery: readonly SimulatorMutant[] = [
  one('call, ask-person', 'the epoch check in the guard of a commit', ownership, 'if (changes !== 1) {', 'if (changes > 1) {'),
  one('call, ask-person', 'a newer epoch at a takeover', ownership, 'epoch = l.epoch + 1, owner', 'epoch = l.epoch, owner'),
  one(
    'ledger',
    'the advance of the checkpoint',
    inbox,
    'partition, progress.offset ?? null, progress.applied',
    'partition, null, progress.applied',
  ),
  {
    by: 'ledger',
    without: 'one commit for the checkpoint and the effect: the checkpoint goes first',
    changes: [
      {
        file: applies,
        from: '        const tally = await commitUnderLease(\n          this.#context,\n          state,\n          (session) => this.#transaction(session, state, rest, { together }),',
        to: `        ${checkpointOf('rest.at(-1)')}\n        const tally = await commitUnderLease(\n          this.#context,\n          state,\n          (session) => this.#transaction(session, state, rest, { together }),`,
      },
      { file: 'consume/triage.ts', from: 'checkpoint === undefined || delivery.offset > checkpoint', to: 'true' },
    ],
  },
  {
    by: 'ledger',
    without: 'one commit for the checkpoint and the effect: the effect goes first',
    changes: [
      { file: applies, from: advance, to: `if (false) ${advance}` },
      { file: applies, from: adopted, to: `        ${checkpointOf('rest[tally.done - 1]')}\n${adopted}` },
    ],
  },
  one(
    'ledger',
    'the look at the checkpoint inside the transaction',
    'consume/triage.ts',
    'checkpoint === undefined || delivery.offset > checkpoint',
    'true',
  ),
  one(
    'ledger, log with duplicates',
    'the inbox answer: what was seen is called new',
    inbox,
    "return claimStatus(answer === 'reused' ? 'id-reused' : answer, numbers?.[index], envelope)",
    "return 'new'",
  ),
  one('ledger, log with duplicates', 'the inbox question', 'consume/triage.ts', 'claims && beyond.length > 0', 'false'),
  one(
    'ledger',
    'the identity check of publish',
    'database/sqlite/log-store.ts',
    "this.#windows.claim(record.name, '', envelopes)",
    "envelopes.map(() => 'new')",
  ),
  one(
    'ledger',
    'the identity of a repeat: every publish has a new one',
    'publish/to-envelope.ts',
    'const id = options.id ?? (topic.id',
    'const id = runtime.uuid() ?? (topic.id',
  ),
  {
    by: 'ledger',
    without: 'one commit for the effect and what it publishes: the messages go after COMMIT',
    changes: [
      { file: applies, from: emits, to: 'this.unsent = total.outgoing; const refused = undefined' },
      {
        file: applies,
        from: adopted,
        to: `        const { unsent } = this; this.unsent = []\n        if (unsent?.length > 0) await this.#context.database.write((session) => this.#context.emit(session, unsent), { what: 'consume: mutant' })\n${adopted}`,
      },
    ],
  },
  one(
    'ledger, log with duplicates',
    'the wait of an outbox row for the broker: it is removed before it is sent',
    'outbox/relay.ts',
    'return await session.outbox.number(batchRows)',
    'const next = await session.outbox.number(batchRows); await session.outbox.remove(next.map(({ row }) => row)); return next',
  ),
  one(
    'ledger, log with duplicates',
    'the order of a key at a broker that refuses one message and takes the next',
    'outbox/send.ts',
    'if (oneOfEach && order !== undefined && inCall.has(order)) later.push(row)',
    'if (later.length > 1e9) later.push(row)',
  ),
  one(
    'ledger, log with duplicates',
    'the wait of a key behind a message that the broker has refused',
    'outbox/send.ts',
    'if (order !== undefined && held.has(order)) continue',
    '',
  ),
  one(
    'failing, hold',
    'the rollback of a handler that failed',
    'database/sqlite/session.ts',
    "connection.prepare('rollback to onefold').run()",
    '',
  ),
  one(
    'ledger',
    'the patience of a commit under its lease: an unknown COMMIT is taken for one that happened',
    'consume/commit.ts',
    'if (error instanceof PublishRefused) throw error',
    "if (error instanceof PublishRefused) throw error\n      if (isOnefoldError(error, 'COMMIT_UNKNOWN')) return { done: 1e9, applied: 0, suppressed: 0, parked: [], failures: [] } as never",
  ),
  one(
    'ledger',
    'the doubt of a publish: an unknown COMMIT is taken for one that happened',
    'publish/publish-queue.ts',
    'return envelopes.map((envelope) => withIdentity(error, topic, envelope))',
    "if ((error as OnefoldError).code === 'COMMIT_UNKNOWN') return envelopes.map(({ id, source }) => ({ status: 'accepted', id, source }) as never)\n      return envelopes.map((envelope) => withIdentity(error, topic, envelope))",
  ),
]

/** Failed attempts, parked messages, and who waits for them. */
const parking: readonly SimulatorMutant[] = [
  one(
    'failing, hold',
    'the removal of a parked message that was applied',
    attempts,
    'if (!(await session.parked.done(row, runtime.wallMs()))) return',
    '',
  ),
  {
    by: 'failing, hold',
    without: 'one commit for the effect and the removal of the parked message: it is removed first',
    changes: [
      { file: attempts, from: 'if (!(await session.parked.done(row, runtime.wallMs()))) return', to: '' },
      {
        file: attempts,
        from: 'await commitUnderLease(this.#context, state, work, { handsOutTx: true })',
        to: 'await commitUnderLease(this.#context, state, (session) => session.parked.done(row, runtime.wallMs()))\n      await commitUnderLease(this.#context, state, work, { handsOutTx: true })',
      },
    ],
  },
  one(
    'failing, hold',
    'the wait behind a message of the same key',
    applies,
    'item.refused !== true && item.lane !== undefined && (tally.held ?? state.held).has(item.lane)',
    'false',
  ),
  one('batches', 'the wait of those behind in a batch handler', applies, '(lane !== undefined && held.has(lane))', 'false'),
  one(
    'failing, hold',
    'the next of a key coming due',
    parked,
    "update {p}parked set state = 'waiting', due_ms = ?1 where state = 'behind'",
    "update {p}parked set state = 'waiting', due_ms = ?1 where state = 'nobody'",
  ),
  one(
    'failing, hold',
    'the wait of those behind: they are due as well',
    parked,
    "and state = 'waiting' and due_ms <= ?",
    "and state in ('waiting', 'behind') and due_ms <= ?",
  ),
  one(
    'failing, hold',
    'what is held, read at the start of a partition',
    'consume/partition-loop.ts',
    'held: new Set(await database.read((stores) => stores.parked.heldLanes(subscription, partition))),',
    'held: new Set(),',
  ),
  one('failing, hold', 'the count of attempts', attempts, 'attempts: row.attempts + 1,', 'attempts: row.attempts,'),
  one(
    'failing, hold',
    'the last attempt',
    'consume/attempts.ts',
    "if (attempts >= settings.maxAttempts) return { step: 'dead-letter' }",
    '',
  ),
  one(
    'failing, hold',
    'the person who is told of a dead letter',
    parked,
    "if (change.state === 'attention' && change.reason !== undefined) this.#raise(Number(row), change.reason, nowMs)",
    '',
  ),
  one(
    'failing, hold',
    'the key that a dead letter holds',
    'consume/failure.ts',
    "state === 'attention' && settings.onExhausted === 'skip'",
    "state === 'attention'",
  ),
  one(
    'failing, skip',
    'the key that a skipped dead letter lets go',
    attempts,
    "release: reason?.kind === 'dead-letter' &&",
    'release: false &&',
  ),
]

/** Declared calls. */
const calling: readonly SimulatorMutant[] = [
  one('call, ask-person', 'the intent that is committed before the request', calls, intend, ''),
  {
    by: 'call, ask-person',
    without: 'the intent that is committed before the request: it is committed after it',
    changes: [
      { file: calls, from: intend, to: '' },
      {
        file: calls,
        from: request,
        to: `${request}\n      await commitUnderLease(this.#context, state, (session) => journal.intend(session, state.lease, plan.requests))`,
      },
    ],
  },
  one(
    'call, without faults',
    'the answer that is recorded',
    'consume/call-journal.ts',
    'const entries = [...this.#open]',
    'const entries: Entry[] = []',
  ),
  one(
    'call, repeat',
    'the answer that is remembered',
    steps,
    "return { step: 'settled', outcome: happened(record.result) }",
    "return { step: 'request', round: round + 1 }",
  ),
  one(
    'call, repeat',
    'the equal token of a repeat',
    calls,
    'return tokenOf(topic, group, identity, { name, round })',
    'return tokenOf(topic, group, identity + this.#context.runtime.uuid(), { name, round })',
  ),
  one(
    'call, ask-person',
    'the person who is asked about an intent that was left behind',
    steps,
    "|| call.rule === 'ask-person'",
    '',
  ),
  one(
    'call, probe',
    "the probe's 'did-not-happen': it is taken for an answer",
    'consume/call-requests.ts',
    'return { settlement: { state: said } }',
    "return { settlement: { state: 'happened', result: undefined } }",
  ),
  one(
    'call, probe',
    'the probe: what is unknown is taken for what did not happen',
    steps,
    "return call.rule === 'probe' ? { step: 'probe', round, token: record.token } : { step: 'request', round }",
    "return { step: 'request', round: round + 1 }",
  ),
  one(
    'call, repeat',
    'the look after what an owner before had under way',
    calls,
    'session.parked.reclaim(subscription, state.partition, runtime.wallMs()),',
    'undefined,',
  ),
  one(
    'call, repeat',
    'the second look at a row that is called already',
    parked,
    "set state = 'calling' where parked = ? and state in ('waiting', 'calling')",
    "set state = 'calling' where parked = ? and state = 'waiting'",
  ),
  one(
    'call, repeat',
    'the doubt about a call: an unanswered request is taken for one that failed',
    calls,
    "answer.settlement.state === 'unknown' ? [this.#unanswered(item, plan, name, answer)] : []",
    '[]',
  ),
]

const receives = 'consume/receive-strategy.ts'

/** What it takes another side that refuses, a handler that ends its process, a stop, a window that has forgotten, or a person to show. */
const conditions: readonly SimulatorMutant[] = [
  {
    by: 'call, repeat',
    without: 'the disbelief of a repeat that is refused',
    changes: [{ file: 'consume/call-requests.ts', from: 'state: request.repeats ? earlier : outcome', to: 'state: outcome' }],
    // An owner is frozen before its request; the next one's is refused; both are made.
    shownBy: '26:5,40:7',
  },
  one(
    'call, refused',
    'the look at an answer that is not what `result` says',
    'consume/call-requests.ts',
    'if (checked.issues !== undefined)',
    'if (checked === undefined)',
  ),
  one(
    'ledger',
    'the end of a message that ends its process',
    applies,
    'if (starts > settings.maxCrashes) {',
    'if (starts > 1e9) {',
  ),
  one(
    'receiving',
    'the end of a message that ends its process: received outside a transaction',
    receives,
    'if (starts > settings.maxCrashes)',
    'if (starts > 1e9)',
  ),
  one(
    'receiving',
    'one commit for the acknowledgement and the end of the start mark: the mark stays',
    receives,
    'if (this.#mark !== undefined) await session.startMarks.clear(',
    'if (this.#mark === null) await session.startMarks.clear(',
  ),
  one(
    'ledger',
    'the farewell of a process that stops',
    'ownership/ownership.ts',
    "if (owner !== undefined) await this.#database.write((session) => session.ownership.leave(owner), { what: 'leave' })",
    '',
  ),
  one(
    'failing, hold',
    'the memory of a topic whose window has forgotten: what waits for a person is taken for new',
    'database/sqlite/log-store.ts',
    'const status = forgot ? this.#unlessPending(record, envelope, answer) : answer',
    'const status = answer',
  ),
  one(
    'unordered, queue, without repeats',
    'the doubt about what comes when it is forgotten',
    'consume/triage.ts',
    "else if (status === 'too-old')",
    "else if (status === 'never')",
  ),
  one(
    'unordered, queue',
    'the number that a message has from an outbox',
    inbox,
    'const numbers = this.#windows.claimOutboxNumbers(topic, group, envelopes)',
    'const numbers = [] as undefined[]',
  ),
  one(
    'ledger',
    'what a transaction publishes',
    'publish/publisher.ts',
    'const refused = await this.emit(session, ready)',
    'const refused = undefined',
  ),
]

/** What it takes a read that fails to show. */
const reads: readonly SimulatorMutant[] = [
  {
    by: 'ledger',
    without: "the ear for a broker's failure while parked messages are looked for",
    changes: [{ file: 'consume/partition-loop.ts', from: 'next.catch(() => undefined)', to: '' }],
    amongPairs: 2_000,
  },
  one(
    'call, refused',
    'the innocence of a message whose journal cannot be read',
    calls,
    `const records = await database.read((stores) => stores.calls.get(subscription, turn.item.identity))
    let plan: Plan
    try {`,
    `let plan: Plan
    try {
      const records = await database.read((stores) => stores.calls.get(subscription, turn.item.identity))`,
  ),
  one(
    'ledger',
    'the release of a lease of its own before a process takes it again',
    'ownership/ownership.ts',
    'if (record !== undefined && options.force !== true && this.isMe(record.owner)) await this.release(record)',
    '',
  ),
]

export const simulatorMutants: readonly SimulatorMutant[] = [...delivery, ...parking, ...calling, ...conditions, ...reads]
