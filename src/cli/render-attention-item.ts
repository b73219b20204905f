import { hostName } from '../attention/action-sentences.ts'
import type { AttentionDetails } from '../attention/attention.ts'
import type { AttemptRecord, AttentionItem } from '../attention/attention-store.ts'
import type { JsonChange } from '../attention/json-difference.ts'
import type { PossibleAction } from '../attention/possible-actions.ts'
import { parseJson } from '../parse-json.ts'
import { maskJson } from './mask-json.ts'
import { count, duration, plural, printable, printableLines, wrap } from './readable.ts'
import { isoTime, itemSummary } from './render-attention.ts'

interface View {
  /** Also what the data says, not only its shape. */
  readonly reveal: boolean
}

/** For programs: everything about an item. */
export function itemDocument(details: AttentionDetails, view: View) {
  const summary = itemSummary(details)
  const show = shower(view)
  return {
    ...summary,
    message: { ...summary.message, headers: details.envelope.headers, data: show(readJson(details.envelope.json)) },
    masked: !view.reveal,
    error: { ...summary.error, stack: details.errorStack },
    failedAttempts: details.failedAttempts.map(({ attempt, atMs, errorName, errorMessage, errorStack }) => ({
      attempt,
      at: isoTime(atMs),
      error: { name: errorName, message: errorMessage, stack: errorStack },
    })),
    calls: details.calls.map(({ result, intentMs, settledMs, lease, ...call }) => ({
      ...call,
      epoch: lease.epoch,
      intent: isoTime(intentMs),
      settled: settledMs === undefined ? undefined : isoTime(settledMs),
      result: result === undefined ? undefined : show(readJson(result)),
    })),
    revisions: details.revisions.map(({ by, reason, atMs, changes }) => ({
      by,
      reason,
      at: isoTime(atMs),
      changes: changes.map((change) => shownChange(change, show)),
    })),
    audit: details.audit.map(({ atMs, details: what, ...entry }) => ({
      ...entry,
      at: isoTime(atMs),
      details: what === undefined ? undefined : readJson(what),
    })),
    actions: details.actions,
  }
}

export function renderItem(details: AttentionDetails, { reveal, nowMs }: View & { readonly nowMs: number }): string {
  const show = shower({ reveal })
  const sections = [
    `attention ${details.id}\n${facts(details, nowMs)}`,
    `Data${reveal ? '' : ' (masked; --reveal shows it)'}\n${indent(JSON.stringify(show(readJson(details.envelope.json)), undefined, 2))}`,
    `Error\n${indent(errorText(details))}`,
    section(
      'Failed attempts',
      details.failedAttempts.map((attempt) => renderAttempt(attempt, details)),
    ),
    section(
      'Calls',
      details.calls.map((call) => renderCall(call, { show, nowMs })),
    ),
    section(
      'Edited',
      details.revisions.map(({ by, reason, atMs, changes }) =>
        [
          `  ${isoTime(atMs)} by ${printable(by)}${reason === undefined ? '' : `: ${printable(reason)}`}`,
          ...changes.map((change) => `    ${printable(renderChange(shownChange(change, show)))}`),
        ].join('\n'),
      ),
    ),
    section(
      'Done so far',
      details.audit.map(({ action, by, reason, atMs, details: what }) => {
        const who = by === undefined ? '' : ` by ${by}`
        return `  ${isoTime(atMs)} ${printable(`${action}${who}${reason === undefined ? '' : `: ${reason}`}${what === undefined ? '' : ` ${what}`}`)}`
      }),
    ),
    section('What each action would do', renderActions(details)),
  ]
  return `${sections.filter((each) => each !== '').join('\n\n')}\n`
}

function facts(item: AttentionItem, nowMs: number): string {
  const { envelope } = item
  const crashes = item.crashes > 0 ? `, and ${plural(item.crashes, 'start')} that killed the process` : ''
  const pairs: [string, string][] = [
    ['kind', item.kind],
    ['state', stateLine(item)],
    ['topic', item.topic],
    ['group', item.group],
    ['partition', item.partition],
    ['message', envelope.id],
    ['source', envelope.source],
    ...(envelope.sequence === undefined ? [] : [['sequence', String(envelope.sequence)] as [string, string]]),
    ['key', envelope.key ?? '-'],
    ['type', envelope.type],
    ['published', isoTime(envelope.timeMs)],
    ['since', `${isoTime(item.sinceMs)} (${duration(nowMs - item.sinceMs)} ago)`],
    ['attempts', `${count(item.attempts)}${crashes}`],
    ['behind it', plural(item.behind, 'message')],
    ['fingerprint', item.fingerprint],
    ...Object.entries(envelope.headers).map(([name, value]) => [`header ${name}`, value] as [string, string]),
  ]
  const width = Math.max(...pairs.map(([name]) => printable(name).length))
  return pairs.map(([name, value]) => `  ${printable(name).padEnd(width)}  ${printable(value)}`).join('\n')
}

function renderAttempt(attempt: AttemptRecord, item: AttentionItem): string {
  const head = `  attempt ${count(attempt.attempt)} at ${isoTime(attempt.atMs)}`
  const same = attempt.errorStack === item.errorStack && attempt.errorMessage === item.errorMessage
  return same ? `${head}: the error above` : `${head}\n${indent(indent(errorText(attempt)))}`
}

function renderCall(
  call: AttentionDetails['calls'][number],
  { show, nowMs }: { readonly show: (value: unknown) => unknown; readonly nowMs: number },
): string {
  const owner = { alive: 'alive', dead: 'gone', unknown: 'not to be seen from here' }[call.owner]
  const lines: [string, string | undefined][] = [
    ['rule', `when unknown: ${call.rule}`],
    ['begun', `${isoTime(call.intentMs)} (${duration(nowMs - call.intentMs)} ago), ${plural(call.requests, 'request')}`],
    ['by', `process ${call.process.pid} on ${hostName(call.process.host)}, which is ${owner}`],
    ['token', call.token],
    ['error', call.error === undefined ? undefined : errorOf(call.error)],
    ['result', call.result === undefined ? undefined : JSON.stringify(show(readJson(call.result)))],
    ['noted', call.settledMs === undefined ? undefined : `${isoTime(call.settledMs)} by ${call.settledBy ?? 'call'}`],
  ]
  return [
    `  ${printable(call.name)}, round ${count(call.round)}: ${call.state}`,
    ...lines.flatMap(([name, value]) => (value === undefined ? [] : [`    ${name.padEnd(6)}  ${printable(value)}`])),
  ].join('\n')
}

function errorOf({ name, code, message }: { readonly name: string; readonly code: string; readonly message: string }): string {
  return `${name}${code === '' ? '' : ` (${code})`}: ${message}`
}

function renderChange(change: JsonChange): string {
  const path = change.path === '' ? 'all of it' : change.path
  if (change.kind === 'added') return `+ ${path}: ${JSON.stringify(change.after)}`
  if (change.kind === 'removed') return `- ${path}: ${JSON.stringify(change.before)}`
  return `~ ${path}: ${JSON.stringify(change.before)} → ${JSON.stringify(change.after)}`
}

function renderActions({ id, actions }: AttentionDetails): string[] {
  const lines = [
    action(`redrive ${id}`, actions.redrive),
    action(`edit ${id} FILE --by NAME`, actions.edit),
    action(`discard ${id} --reason TEXT --by NAME`, actions.discard),
  ]
  const settlements = actions.settle.map(({ call, as, action: possible }) => {
    const named = call === undefined ? '' : ` --call ${call}`
    const result = call !== undefined && as === 'happened' ? ' --result JSON' : ''
    return action(`settle ${id}${named} --as ${as}${result} --by NAME`, possible)
  })
  return [...lines, ...settlements]
}

function action(command: string, possible: PossibleAction): string {
  const refused = possible.possible || possible.why === 'closed' ? '' : 'Refused: '
  const confirm = possible.possible && possible.confirm !== undefined ? ` ${possible.confirm.sentence}` : ''
  return `  onefold attention ${printable(command)}\n${wrap(printable(`${refused}${possible.sentence}${confirm}`), 4)}`
}

function stateLine(item: AttentionItem): string {
  const by = item.by === undefined ? '' : ` by ${item.by}`
  const when = item.closedMs === undefined ? '' : ` at ${isoTime(item.closedMs)}`
  const why = item.reason === undefined ? '' : `: ${item.reason}`
  return `${item.state}${by}${when}${why}`
}

function errorText({
  errorName,
  errorMessage,
  errorStack,
}: Pick<AttemptRecord, 'errorName' | 'errorMessage' | 'errorStack'>): string {
  return errorStack.includes(errorMessage) ? errorStack : `${errorName}: ${errorMessage}\n${errorStack}`
}

function section(title: string, parts: readonly string[]): string {
  return parts.length === 0 ? '' : `${title}\n${parts.join('\n')}`
}

function shower({ reveal }: View): (value: unknown) => unknown {
  return reveal ? (value) => value : maskJson
}

function shownChange(change: JsonChange, show: (value: unknown) => unknown): JsonChange {
  if (change.kind === 'added') return { ...change, after: show(change.after) }
  if (change.kind === 'removed') return { ...change, before: show(change.before) }
  return { ...change, before: show(change.before), after: show(change.after) }
}

/** Stored text that does not parse is shown as it is: this list is where such messages end. */
function readJson(json: string): unknown {
  try {
    return parseJson(json)
  } catch {
    return json
  }
}

function indent(text: string): string {
  return printableLines(text)
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
