import type { App } from '../app.ts'
import type { Values } from './arguments.ts'
import type { Said } from './attention-act.ts'
import { actOnIds, readJson, readSettlement } from './attention-act.ts'
import { actOnMatching } from './attention-bulk.ts'
import { defineCommand } from './command.ts'
import { databaseTarget, requireDatabase } from './database-target.ts'
import { withApp } from './open-app.ts'
import { printable } from './readable.ts'
import { groupDocument, itemSummary, renderList } from './render-attention.ts'
import { itemDocument, renderItem } from './render-attention-item.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

const defaultLimit = 100
const actions = ['list', 'show', 'redrive', 'edit', 'discard', 'settle'] as const
type Action = (typeof actions)[number]

const options = {
  topic: { kind: 'text', value: 'T', help: 'only this topic (list, --all)', otherwise: 'all' },
  group: { kind: 'text', value: 'G', help: 'only this consumer group (list, --all)', otherwise: 'all' },
  kind: {
    kind: 'choice',
    choices: ['dead-letter', 'unknown-outcome', 'late-message'],
    help: 'only this kind (list, --all)',
    otherwise: 'all',
  },
  fingerprint: { kind: 'text', value: 'F', help: 'only what failed alike (list, --all)', otherwise: 'all' },
  key: { kind: 'text', value: 'K', help: 'only messages with this key (list, --all)', otherwise: 'all' },
  state: {
    kind: 'choice',
    choices: ['open', 'redriven', 'discarded', 'settled', 'all'],
    help: 'list items in this state',
    otherwise: 'open',
  },
  limit: { kind: 'integer', min: 1, max: 100_000, help: 'list at most so many', otherwise: String(defaultLimit) },
  reveal: { kind: 'flag', help: "show what the message's data and the results of its calls say, not only their shape" },
  all: { kind: 'flag', help: 'redrive or discard everything that is open and matches' },
  expect: { kind: 'integer', min: 0, max: 1_000_000_000, help: 'with --all: do it unless more than N match' },
  yes: { kind: 'flag', help: 'with --all: do it, however many match, and ask nobody' },
  call: { kind: 'text', value: 'NAME', help: 'the call to settle', otherwise: 'the only one whose outcome is unknown' },
  as: {
    kind: 'choice',
    choices: ['happened', 'did-not-happen', 'voided'],
    help: 'what you found out; voided: it did not happen, and the other side will never act on its token',
  },
  result: { kind: 'text', value: 'JSON|@FILE', help: 'what the call answered, when it happened: apply gets it' },
  'owner-is-gone': {
    kind: 'flag',
    help: 'you have made sure that the process on another host that began the call is no longer there',
  },
  'calls-stand': { kind: 'flag', help: 'discard also when a call has happened, or may have: nothing of that is undone' },
  by: { kind: 'text', value: 'NAME', help: 'who acts, for the record', otherwise: 'for redrive, your user name' },
  reason: { kind: 'text', value: 'TEXT', help: 'why, for the record' },
} as const

type Given = Values<typeof options> & { readonly json: boolean }

export const attention = defineCommand({
  name: 'attention',
  summary: 'see and settle what waits for a person',
  usage: [
    'attention [list] [--topic T] [--group G] [--kind K] [--fingerprint F] [--key K] [--state S] [--limit N]',
    'attention show ID [--reveal]',
    'attention redrive ID… [--by NAME] [--reason TEXT]',
    'attention edit ID FILE|- --by NAME [--reason TEXT]',
    'attention discard ID… --reason TEXT --by NAME [--calls-stand]',
    'attention settle ID [--call NAME] --as OUTCOME [--result JSON|@FILE] --by NAME [--reason TEXT] [--owner-is-gone]',
    'attention redrive|discard --all [--topic T] [--group G] [--kind K] [--fingerprint F] [--key K] [--expect N|--yes] …',
  ],
  description: [
    'Three kinds of messages wait here for a person. A dead letter: its attempts are used up, no attempt can help, or it keeps ' +
      'killing its process. An unknown outcome: an external call may have happened, and nobody but a person can find out. A late ' +
      'message: older than what is remembered, so it may have been applied before. Later messages of its key wait behind it, ' +
      'unless it is a dead letter whose consumer says onExhausted: skip.',
    '"list" shows them grouped by what failed. "show" tells everything about one, and what each action would do; the data is ' +
      'masked without --reveal. "redrive" has its handler run again, as a new first attempt of the same message. "edit" does so ' +
      'with other data, read as JSON from FILE or stdin; id, key and headers stay, and a message that does not fit the ' +
      'consumer\'s schema comes back here. "discard" takes it out for good. What waits behind it follows in order.',
    '"settle" says what became of a call: it happened (with its result), it did not happen (and cannot any more), or its token is ' +
      'voided. When it was the last such call of an unknown outcome, the message goes on. A late message is settled without ' +
      '--call: as happened it counts as applied before, as did-not-happen it is applied now.',
    'redrive and discard say for each ID: done, already (somebody had acted on it; nothing changed), refused and why, or not ' +
      'found; the last two make the exit code 1. With --all they show first what they would do; without --yes or --expect they ' +
      'ask, and where nobody can be asked they do nothing and the exit code is 1.',
  ],
  promise:
    'Nothing leaves this list by itself. Each action is recorded, and doing it twice, or from two places at once, does it once. A ' +
    'redriven or edited message keeps its identity: if it was applied after all, it is not applied again. Calls that happened are ' +
    'never made again.',
  options,
  examples: [
    'onefold attention',
    'onefold attention redrive --fingerprint 83a988e9e7a4 --all --expect 12',
    'onefold attention settle a17 --call charge --as happened --result \'{"id":"ch_1"}\' --by mia',
    'onefold attention discard a17 --reason "test data" --by mia',
  ],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [word = 'list', ...rest] = positionals
    const action = actions.find((each) => each === word)
    if (action === undefined)
      throw new UsageError(`unknown action ${JSON.stringify(word)}; attention knows ${actions.join(', ')}`)
    checkFit(action, rest, values)
    const target = databaseTarget(values, environment)
    requireDatabase(target)
    return await withApp(target, { runtime }, { create: false }, (app) =>
      perform[action](app, { values, rest, terminal, nowMs: runtime.wallMs() }),
    )
  },
})

interface Invoked {
  readonly values: Given
  /** What follows the action's name. */
  readonly rest: readonly string[]
  readonly terminal: Terminal
  readonly nowMs: number
}

async function noteMoved(app: App<unknown>, terminal: Terminal): Promise<void> {
  const { movedTo } = (await app.status()).database
  if (movedTo !== undefined) terminal.note(`onefold: this file has been moved to ${printable(movedTo)}; act on them there`)
}

/** Each answers the exit code. */
const perform: Record<Action, (app: App<unknown>, invoked: Invoked) => Promise<number>> = {
  async list(app, { values, terminal, nowMs }) {
    const { state, limit = defaultLimit, json } = values
    // One more than is shown tells whether there are more.
    const found = await app.attention.list({ ...filterOf(values), state, limit: limit + 1 })
    const groups = await app.attention.groups({ ...filterOf(values), state })
    const items = found.slice(0, limit)
    const more = found.length > limit
    if (json) await terminal.json({ groups: groups.map(groupDocument), items: items.map(itemSummary), more })
    else await terminal.write(renderList(groups, items, { more, nowMs, state: state ?? 'open' }))
    await noteMoved(app, terminal)
    return 0
  },

  async show(app, { values: { json, reveal }, rest, terminal, nowMs }) {
    const details = await app.attention.show(rest[0] ?? '')
    if (json) await terminal.json(itemDocument(details, { reveal }))
    else await terminal.write(renderItem(details, { reveal, nowMs }))
    await noteMoved(app, terminal)
    return 0
  },

  redrive: (app, invoked) => actOn(app, 'redrive', invoked),
  discard: (app, invoked) => actOn(app, 'discard', invoked),

  async edit(app, { values: { by = '', reason, json }, rest: [id = '', file = ''], terminal }) {
    const data = await readJson(file)
    const changed = await app.attention.edit(id, data, { by, ...(reason === undefined ? {} : { reason }) })
    await tell(terminal, json, { action: 'edit', id, result: changed ? 'done' : 'already' })
    return 0
  },

  async settle(app, { values, rest: [id = ''], terminal }) {
    const { by = '', reason, as = 'happened' } = values
    const settlement = await readSettlement(as, values)
    const changed = await app.attention.settle(id, settlement, {
      by,
      ...(reason === undefined ? {} : { reason }),
      ownerIsGone: values['owner-is-gone'],
    })
    const { state } = await app.attention.show(id)
    const next = changed && state === 'open' ? `it stays here; onefold attention show ${id} tells why` : undefined
    await tell(terminal, values.json, { action: 'settle', id, result: changed ? 'done' : 'already', state, next })
    return 0
  },
}

async function actOn(app: App<unknown>, action: 'redrive' | 'discard', { values, rest, terminal }: Invoked): Promise<number> {
  const { by, reason, yes, expect, json } = values
  const said: Said = { by, reason, callsStand: values['calls-stand'] }
  if (values.all) return await actOnMatching(app, terminal, { action, filter: filterOf(values), said, yes, expect, json })
  const results = await actOnIds(app, action, [...new Set(rest)], said)
  if (json) await terminal.json({ action, results })
  else {
    for (const { id, result, message } of results)
      await terminal.write(`${printable(id)}: ${result}${message === undefined ? '' : `: ${printable(message)}`}\n`)
  }
  return results.some(({ result }) => result === 'not found' || result === 'refused') ? 1 : 0
}

interface Told {
  readonly action: Action
  readonly id: string
  readonly result: string
  readonly state?: string
  readonly next?: string | undefined
}

async function tell(terminal: Terminal, json: boolean, told: Told): Promise<void> {
  if (json) await terminal.json(told)
  else await terminal.write(`${printable(told.id)}: ${told.result}${told.next === undefined ? '' : `; ${told.next}`}\n`)
}

function filterOf({ topic, group, kind, fingerprint, key }: Given) {
  return { topic, group, kind, fingerprint, key }
}

const fits: Readonly<Record<keyof typeof options, readonly Action[]>> = {
  topic: ['list', 'redrive', 'discard'],
  group: ['list', 'redrive', 'discard'],
  kind: ['list', 'redrive', 'discard'],
  fingerprint: ['list', 'redrive', 'discard'],
  key: ['list', 'redrive', 'discard'],
  state: ['list'],
  limit: ['list'],
  reveal: ['show'],
  all: ['redrive', 'discard'],
  expect: ['redrive', 'discard'],
  yes: ['redrive', 'discard'],
  call: ['settle'],
  as: ['settle'],
  result: ['settle'],
  'owner-is-gone': ['settle'],
  'calls-stand': ['discard'],
  by: ['redrive', 'edit', 'discard', 'settle'],
  reason: ['redrive', 'edit', 'discard', 'settle'],
}
const onlyWithAll = ['topic', 'group', 'kind', 'fingerprint', 'key', 'expect', 'yes'] as const

function checkFit(action: Action, rest: readonly string[], given: Given): void {
  const isGiven = (option: keyof Given): boolean => given[option] !== undefined && given[option] !== false
  for (const [option, where] of Object.entries(fits) as [keyof typeof options, readonly Action[]][]) {
    if (isGiven(option) && !where.includes(action))
      throw new UsageError(`--${option} goes with attention ${where.join(' and ')}, not with ${action}`)
  }
  const alone = action === 'list' || given.all ? undefined : onlyWithAll.find(isGiven)
  if (alone !== undefined) throw new UsageError(`--${alone} goes with attention ${action} --all`)
  if (given.yes && given.expect !== undefined) throw new UsageError('--yes and --expect exclude each other')
  checkPositionals(action, rest, given.all)
  if (action === 'settle' && given.as === undefined)
    throw new UsageError('attention settle needs --as happened, did-not-happen or voided')
  if (given.result !== undefined && given.as !== 'happened')
    throw new UsageError(`--result goes with --as happened, not with ${given.as}`)
  for (const option of ['reason', 'by'] as const) {
    const needed = action === 'discard' || (option === 'by' && (action === 'edit' || action === 'settle'))
    if (needed && !isGiven(option))
      throw new UsageError(
        `attention ${action} needs --${option} ${option === 'by' ? 'NAME' : 'TEXT'}: it is kept with the message`,
      )
  }
}

function checkPositionals(action: Action, rest: readonly string[], all: boolean): void {
  const [first] = rest
  if (action === 'list' && first !== undefined)
    throw new UsageError(`attention list takes no ID, but got ${JSON.stringify(first)}; did you mean show?`)
  if ((action === 'show' || action === 'settle') && rest.length !== 1) throw new UsageError(`attention ${action} needs one ID`)
  if (action === 'edit' && rest.length !== 2) throw new UsageError('attention edit needs an ID and a FILE (- for stdin)')
  if (action !== 'redrive' && action !== 'discard') return
  if (all && first !== undefined) throw new UsageError(`attention ${action} takes either IDs or --all`)
  if (!all && first === undefined) throw new UsageError(`attention ${action} needs at least one ID, or --all`)
}
