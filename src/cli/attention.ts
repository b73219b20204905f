import { userInfo } from 'node:os'
import type { App } from '../app.ts'
import { isOnefoldError } from '../errors.ts'
import { defineCommand } from './command.ts'
import { databaseFile, requireFile, withApp } from './open-app.ts'
import { printable } from './readable.ts'
import { itemDocument, itemSummary, renderItem, renderList } from './render-attention.ts'
import { UsageError } from './usage-error.ts'

const defaultLimit = 100
const actions = ['list', 'show', 'redrive', 'discard'] as const
type Action = (typeof actions)[number]

export const attention = defineCommand({
  name: 'attention',
  summary: 'see and settle what waits for a person',
  usage: [
    'attention [list] [--topic T] [--group G] [--state open|redriven|discarded|all] [--limit N]',
    'attention show ID',
    'attention redrive ID… [--by NAME]',
    'attention discard ID… --reason TEXT --by NAME',
  ],
  description: [
    'A message whose attempts are used up, that no attempt can help, or that keeps killing its process waits here for a person. ' +
      'Later messages of its key wait behind it, unless its consumer says onExhausted: skip.',
    '"list" shows them grouped by what failed. "show" tells everything about one, and what each action would do. "redrive" has ' +
      'its handler run again, as a new first attempt of the same message; what waits behind it follows in order. "discard" takes ' +
      'it out for good, with a name and a reason that are kept; what waits behind it moves on.',
    'redrive and discard say for each ID: done, already (somebody had acted on it; nothing changed), or not found, which makes ' +
      'the exit code 1.',
  ],
  promise:
    'Nothing leaves this list by itself. Each action is recorded, and doing it twice changes nothing. A redriven message keeps its ' +
    'identity: if it was applied after all, it is not applied again.',
  options: {
    topic: { kind: 'text', value: 'T', help: 'list only this topic', otherwise: 'all' },
    group: { kind: 'text', value: 'G', help: 'list only this consumer group', otherwise: 'all' },
    state: {
      kind: 'choice',
      choices: ['open', 'redriven', 'discarded', 'all'],
      help: 'list items in this state',
      otherwise: 'open',
    },
    limit: { kind: 'integer', min: 1, max: 100_000, help: 'list at most so many', otherwise: String(defaultLimit) },
    by: { kind: 'text', value: 'NAME', help: 'who acts, for the record', otherwise: 'for redrive, your user name' },
    reason: { kind: 'text', value: 'TEXT', help: 'why it is discarded, for the record' },
  },
  examples: [
    'onefold attention',
    'onefold attention redrive $(onefold attention list --group mail --json | jq -r .items[].id)',
    'onefold attention discard a17 --reason "test data" --by mia',
  ],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [word = 'list', ...ids] = positionals
    const action = actions.find((each) => each === word)
    if (action === undefined)
      throw new UsageError(`unknown action ${JSON.stringify(word)}; attention knows ${actions.join(', ')}`)
    checkFit(action, ids, values)
    const file = databaseFile(values, environment)
    requireFile(file)
    return await withApp(file, { runtime }, { create: false }, async (app) => {
      if (action === 'list') {
        const { topic, group, state, limit = defaultLimit } = values
        // One more than is shown tells whether there are more.
        const found = await app.attention.list({ topic, group, state, limit: limit + 1 })
        const items = found.slice(0, limit)
        const more = found.length > limit
        if (values.json) await terminal.json({ items: items.map(itemSummary), more })
        else await terminal.write(renderList(items, { more, nowMs: runtime.wallMs(), state: state ?? 'open' }))
        return 0
      }
      if (action === 'show') {
        const item = await app.attention.show(ids[0] ?? '')
        if (values.json) await terminal.json(itemDocument(item))
        else await terminal.write(renderItem(item, runtime.wallMs()))
        return 0
      }
      const results = await settle(app, action, [...new Set(ids)], values)
      if (values.json) await terminal.json({ action, results })
      else for (const { id, result } of results) await terminal.write(`${printable(id)}: ${result}\n`)
      return results.some(({ result }) => result === 'not found') ? 1 : 0
    })
  },
})

interface Given {
  readonly topic: string | undefined
  readonly group: string | undefined
  readonly state: string | undefined
  readonly limit: number | undefined
  readonly by: string | undefined
  readonly reason: string | undefined
}

function checkFit(action: Action, ids: readonly string[], given: Given): void {
  const fits: Record<keyof Given, readonly Action[]> = {
    topic: ['list'],
    group: ['list'],
    state: ['list'],
    limit: ['list'],
    by: ['redrive', 'discard'],
    reason: ['discard'],
  }
  for (const [option, where] of Object.entries(fits)) {
    if (given[option as keyof Given] !== undefined && !where.includes(action)) {
      throw new UsageError(`--${option} goes with attention ${where.join(' and ')}, not with ${action}`)
    }
  }
  if (action === 'list' && ids.length > 0)
    throw new UsageError(`attention list takes no ID, but got ${JSON.stringify(ids[0])}; did you mean show?`)
  if (action === 'show' && ids.length !== 1) throw new UsageError('attention show needs one ID')
  if ((action === 'redrive' || action === 'discard') && ids.length === 0)
    throw new UsageError(`attention ${action} needs at least one ID`)
  if (action === 'discard' && given.reason === undefined)
    throw new UsageError('attention discard needs --reason TEXT: it is kept with the message')
  if (action === 'discard' && given.by === undefined)
    throw new UsageError('attention discard needs --by NAME: it is kept with the message')
}

interface Settled {
  readonly id: string
  readonly result: 'done' | 'already' | 'not found'
}

async function settle(
  app: App<unknown>,
  action: 'redrive' | 'discard',
  ids: readonly string[],
  given: Given,
): Promise<Settled[]> {
  const results: Settled[] = []
  const by = given.by ?? userName()
  for (const id of ids) {
    try {
      const changed =
        action === 'redrive'
          ? await app.attention.redrive(id, by === undefined ? {} : { by })
          : await app.attention.discard(id, { by: given.by ?? '', reason: given.reason ?? '' })
      results.push({ id, result: changed ? 'done' : 'already' })
    } catch (error) {
      if (!isOnefoldError(error, 'NOT_FOUND')) throw error
      results.push({ id, result: 'not found' })
    }
  }
  return results
}

function userName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    // A user id without an entry in the system's list, as in many containers.
    return undefined
  }
}
