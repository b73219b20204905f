import type { AttentionItem } from '../attention/attention-store.ts'
import { count, duration, plural, printable, printableLines, shorten, table, wrap } from './readable.ts'

/** For programs: an item without what can be large. */
export function itemSummary(item: AttentionItem) {
  const { id, source, sequence, key, type, timeMs } = item.envelope
  return {
    id: item.id,
    topic: item.topic,
    group: item.group,
    partition: item.partition,
    message: { id, source, sequence, key, type, time: isoTime(timeMs) },
    kind: item.kind,
    fingerprint: item.fingerprint,
    error: { name: item.errorName, message: item.errorMessage },
    attempts: item.attempts,
    crashes: item.crashes,
    behind: item.behind,
    since: isoTime(item.sinceMs),
    state: item.state,
    by: item.by,
    reason: item.reason,
    closed: item.closedMs === undefined ? undefined : isoTime(item.closedMs),
  }
}

/** For programs: everything about an item. */
export function itemDocument(item: AttentionItem) {
  const summary = itemSummary(item)
  return {
    ...summary,
    message: { ...summary.message, headers: item.envelope.headers, data: readData(item) },
    error: { ...summary.error, stack: item.errorStack },
    actions: { redrive: redriveWould(item), discard: discardWould(item) },
  }
}

export function renderList(
  items: readonly AttentionItem[],
  { more, nowMs, state }: { more: boolean; nowMs: number; state: string },
): string {
  if (items.length === 0) return state === 'open' ? 'nothing waits for a person\n' : 'nothing found\n'
  const groups = Map.groupBy(items, (item) => `${item.fingerprint}\n${item.topic}\n${item.group}`)
  const parts = [...groups.values()]
    .toSorted((a, b) => b.length - a.length)
    .map((alike) => {
      const [first] = alike
      if (first === undefined) return ''
      const title = `${plural(alike.length, 'message')} of ${first.topic} in group ${first.group}: ${errorLine(first)}\n`
      return title + table(['ID', 'MESSAGE', 'KEY', '>ATTEMPTS', '>CRASHES', '>BEHIND', '>SINCE', 'STATE'], alike.map(row), '  ')
    })
  const shown = more ? `\nThe first ${count(items.length)}; there are more (--limit N).\n` : ''
  return `${parts.join('\n')}${shown}\nonefold attention show ID tells more, and what each action would do.\n`

  function row(item: AttentionItem): string[] {
    return [
      item.id,
      shorten(printable(item.envelope.id), 40),
      shorten(printable(item.envelope.key ?? '-'), 30),
      count(item.attempts),
      count(item.crashes),
      count(item.behind),
      `${duration(nowMs - item.sinceMs)} ago`,
      item.state + (item.by === undefined ? '' : ` by ${printable(item.by)}`),
    ]
  }
}

export function renderItem(item: AttentionItem, nowMs: number): string {
  const { envelope } = item
  const facts: [string, string][] = [
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
    [
      'attempts',
      `${count(item.attempts)}${item.crashes > 0 ? `, and ${plural(item.crashes, 'start')} that killed the process` : ''}`,
    ],
    ['behind it', plural(item.behind, 'message')],
    ['fingerprint', item.fingerprint],
    ...Object.entries(envelope.headers).map(([name, value]) => [`header ${name}`, value] as [string, string]),
  ]
  const width = Math.max(...facts.map(([name]) => printable(name).length))
  return [
    `attention ${item.id}`,
    ...facts.map(([name, value]) => `  ${printable(name).padEnd(width)}  ${printable(value)}`),
    '',
    'Data',
    indent(JSON.stringify(readData(item), undefined, 2)),
    '',
    'Error',
    indent(
      item.errorStack.includes(item.errorMessage)
        ? item.errorStack
        : `${item.errorName}: ${item.errorMessage}\n${item.errorStack}`,
    ),
    '',
    `onefold attention redrive ${item.id}`,
    wrap(redriveWould(item), 2),
    `onefold attention discard ${item.id} --reason TEXT --by NAME`,
    wrap(discardWould(item), 2),
    '',
  ].join('\n')
}

function redriveWould(item: AttentionItem): string {
  if (item.state !== 'open') return `Nothing: it was ${item.state} already.`
  const behind = item.behind > 0 ? ` Then ${plural(item.behind, 'message')} waiting behind it ${follow(item)}, in order.` : ''
  return `Runs group ${item.group} again on this message: a new first attempt with the same identity.${behind}`
}

function discardWould(item: AttentionItem): string {
  if (item.state !== 'open') return `Nothing: it was ${item.state} already.`
  const behind = item.behind > 0 ? ` ${plural(item.behind, 'message')} waiting behind it ${follow(item)}, in order.` : ''
  return `Group ${item.group} never runs on this message again; the name and the reason are kept. Other groups are not concerned.${behind}`
}

function follow(item: AttentionItem): string {
  return item.behind === 1 ? 'follows' : 'follow'
}

function stateLine(item: AttentionItem): string {
  const by = item.by === undefined ? '' : ` by ${item.by}`
  const when = item.closedMs === undefined ? '' : ` at ${isoTime(item.closedMs)}`
  const why = item.reason === undefined ? '' : `: ${item.reason}`
  return `${item.state}${by}${when}${why}`
}

function errorLine(item: AttentionItem): string {
  return shorten(printable(`${item.errorName}: ${item.errorMessage}`), 120)
}

/** Stored text that does not parse is shown as it is: this list is where such messages end. */
function readData({ envelope }: AttentionItem): unknown {
  try {
    return JSON.parse(envelope.json)
  } catch {
    return envelope.json
  }
}

function indent(text: string): string {
  return printableLines(text)
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
