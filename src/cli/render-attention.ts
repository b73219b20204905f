import type { AttentionGroup, AttentionItem, AttentionKind } from '../attention/attention-store.ts'
import { count, duration, plural, printable, shorten, table } from './readable.ts'

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

export function groupDocument({ topic, group, kind, fingerprint, count: alike, ...rest }: AttentionGroup) {
  return {
    topic,
    group,
    kind,
    fingerprint,
    count: alike,
    oldest: isoTime(rest.oldestMs),
    newest: isoTime(rest.newestMs),
    error: { name: rest.errorName, message: rest.errorMessage },
  }
}

/** `groups` are all there are; `items` perhaps only the first. */
export function renderList(
  groups: readonly AttentionGroup[],
  items: readonly AttentionItem[],
  { more, nowMs, state }: { more: boolean; nowMs: number; state: string },
): string {
  if (items.length === 0) return state === 'open' ? 'nothing waits for a person\n' : 'nothing found\n'
  const byGroup = Map.groupBy(items, nameOf)
  const parts = groups.map((group) => {
    const error = shorten(printable(`${group.errorName}: ${group.errorMessage}`), 120)
    const title = `${kindOf(group.kind, group.count)} of ${group.topic} in group ${group.group}: ${error}\n  fingerprint ${group.fingerprint}\n`
    const listed = byGroup.get(nameOf(group)) ?? []
    if (listed.length === 0) return title
    const headings = ['ID', 'MESSAGE', 'KEY', '>ATTEMPTS', '>CRASHES', '>BEHIND', '>SINCE', 'STATE']
    return (
      title +
      table(
        headings,
        listed.map((item) => row(item, nowMs)),
        '  ',
      )
    )
  })
  const shown = more ? `\nThe first ${plural(items.length, 'message')}; there are more (--limit N).\n` : ''
  return `${parts.join('\n')}${shown}\nonefold attention show ID tells more, and what each action would do.\n`
}

export function kindOf(kind: AttentionKind, alike: number): string {
  const one = { 'dead-letter': 'dead letter', 'unknown-outcome': 'unknown outcome', 'late-message': 'late message' }[kind]
  return plural(alike, one)
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

function row(item: AttentionItem, nowMs: number): string[] {
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

function nameOf({ fingerprint, kind, topic, group }: AttentionGroup | AttentionItem): string {
  return JSON.stringify([fingerprint, kind, topic, group])
}
