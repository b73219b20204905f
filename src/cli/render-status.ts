import { basename } from 'node:path'
import type { DatabaseStatus, DedupWindowStatus, GroupStatus, TopicStatus } from '../inspect/status.ts'
import { bytes, count, duration, printable, table } from './readable.ts'

/** What a group's semantics promise, in words. */
const promises: Readonly<Record<string, string>> = {
  'effectively-once': 'the effect commits together with the record that it was applied: once',
  'at-least-once': 'acknowledged after the handler, never inside a transaction: its effect may happen again after a crash',
  'at-most-once': 'acknowledged before the handler: its effect may be lost in a crash, and never happens again',
}

/** A schedule that is later than this has no process to look after it, or cannot make its message. */
const overdueMs = 5_000

/** Partitions shown one by one; more are counted. */
const maxPartitions = 8

export function renderStatus(status: DatabaseStatus, nowMs: number, kind: 'file' | 'server' = 'file'): string {
  const { database } = status
  const lock = database.writeLockHolder === null ? 'free' : `held by pid ${database.writeLockHolder.pid}`
  const parts = [
    kind === 'server'
      ? `${printable(database.file)}  ${bytes(database.bytes)}, tables of version ${database.schemaVersion}\n`
      : `${printable(basename(database.file))}  ${bytes(database.bytes)}, write-ahead log ${bytes(database.walBytes)}, write lock ${lock}, ` +
        `schema ${database.schemaVersion}\n`,
    ...(database.movedTo === undefined ? [] : [`moved to ${printable(database.movedTo)}: sealed, only reading works here\n`]),
    section('Topics', renderTopics(status.topics), 'none yet: onefold publish TOPIC creates one'),
    section('Groups', renderGroups(status.groups), 'none yet: onefold consume TOPIC --group G creates one'),
    ...renderPromises(status.groups),
    section('Owners', renderOwners(status, nowMs), 'no process consumes'),
  ]
  if (status.schedules.length > 0) parts.push(section('Schedules', renderSchedules(status, nowMs)))
  if (status.dedupWindows.length > 0) parts.push(section('Duplicates are recognised among', renderWindows(status)))
  const waiting = [
    ...(status.scheduled > 0 ? [`${count(status.scheduled)} scheduled for later`] : []),
    ...(status.outbox.unsent > 0
      ? [`${count(status.outbox.unsent)} in the outbox, the oldest for ${age(status.outbox.oldestAgeMs)}`]
      : []),
    ...(status.outbox.refused > 0
      ? [`${count(status.outbox.refused)} in the outbox REFUSED FOR GOOD by the broker (column refusal says why)`]
      : []),
  ]
  if (waiting.length > 0) parts.push(`\n${waiting.join('; ')}\n`)
  return parts.join('')
}

function section(title: string, body: string, empty = ''): string {
  return `\n${title}\n${body === '' ? `  ${empty}\n` : body}`
}

function renderTopics(topics: readonly TopicStatus[]): string {
  if (topics.length === 0) return ''
  const rows = topics.map((topic) => [
    topic.name,
    count(topic.messages),
    count(topic.accepted),
    count(topic.duplicates),
    keyedWord(topic.keyed),
    topic.idReuse,
    renderOffsets(topic),
  ])
  return table(
    ['NAME', '>MESSAGES', '>ACCEPTED', '>DUPLICATES', 'KEYED', 'ID REUSE', 'OFFSETS (PARTITION:FIRST-LAST)'],
    rows,
    '  ',
  )
}

function renderOffsets({ partitions }: TopicStatus): string {
  const shown = partitions.slice(0, maxPartitions).map((each) => `${each.partition}:${each.firstOffset}-${each.lastOffset}`)
  const more = partitions.length - shown.length
  return more > 0 ? `${shown.join(' ')} and ${more} more` : shown.join(' ')
}

export function renderGroups(groups: readonly GroupStatus[]): string {
  if (groups.length === 0) return ''
  const rows = groups.map((group) => [
    group.topic,
    group.group,
    count(group.applied),
    count(group.suppressed),
    group.lag === null ? 'unknown' : count(group.lag),
    count(group.parked),
    count(group.attention),
    group.oldestAgeMs === null ? '-' : duration(group.oldestAgeMs),
    count(group.fenced),
    group.semantics,
  ])
  const headings = [
    'TOPIC',
    'GROUP',
    '>APPLIED',
    '>SUPPRESSED',
    '>LAG',
    '>PARKED',
    '>ATTENTION',
    '>OLDEST',
    '>FENCED',
    'SEMANTICS',
  ]
  return table(headings, rows, '  ')
}

function renderPromises(groups: readonly GroupStatus[]): string[] {
  const used = Object.entries(promises).filter(([semantics]) => groups.some((group) => group.semantics === semantics))
  return used.map(([semantics, words]) => `  ${semantics}: ${words}\n`)
}

function renderOwners(status: DatabaseStatus, nowMs: number): string {
  if (status.owners.length === 0) return ''
  const rows = status.owners.map((owner) => {
    const left = owner.untilMs - nowMs
    const alive = { alive: 'yes', dead: 'no', unknown: 'unknown' }[owner.alive]
    return [
      String(owner.pid),
      alive,
      count(owner.leases),
      left > 0 ? `${duration(left)} left` : `expired ${duration(-left)} ago`,
      owner.host,
    ]
  })
  return table(['>PID', 'ALIVE', '>PARTITIONS', 'LEASE', 'HOST'], rows, '  ')
}

function renderSchedules(status: DatabaseStatus, nowMs: number): string {
  const rows = status.schedules.map((schedule) => [
    schedule.name,
    schedule.topic,
    schedule.pattern,
    schedule.timeZone,
    instant(schedule.lastMs),
    schedule.nextMs === null
      ? 'unknown'
      : `${instant(schedule.nextMs)}${schedule.nextMs < nowMs - overdueMs ? ' (overdue)' : ''}`,
    count(schedule.fired),
    count(schedule.missed),
  ])
  return table(['NAME', 'TOPIC', 'PATTERN', 'TIME ZONE', 'DECIDED UP TO', 'NEXT', '>FIRED', '>MISSED'], rows, '  ')
}

function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

function renderWindows({ dedupWindows }: DatabaseStatus): string {
  const rows = dedupWindows.map((window) => [
    window.name,
    count(window.ids),
    duration(window.liveMs),
    window.windowMs === null ? 'unknown' : duration(window.windowMs),
    count(window.generations),
    headroom(window),
  ])
  const shrunk = dedupWindows
    .filter((window) => window.shrunk)
    .map(
      (window) =>
        `  ${window.name} is SHORTER THAN CONFIGURED: it was configured lately, or dedupWindow.maxIds` +
        `${window.maxIds === null ? '' : ` (${count(window.maxIds)})`} is too low\n`,
    )
  const headings = ['NAME', '>IDS', '>REACHING BACK', '>CONFIGURED', '>GENERATIONS', 'OLDEST FORGOTTEN AFTER']
  return table(headings, rows, '  ') + shrunk.join('')
}

function headroom({ headroom: { ids, ms } }: DedupWindowStatus): string {
  return ids === null || ms === null ? 'unknown' : `${count(ids)} more ids, or ${duration(ms)}`
}

/** A topic known by name only so far has not said yet whether its messages have keys. */
export function keyedWord(keyed: boolean | null): string {
  if (keyed === null) return 'open'
  return keyed ? 'yes' : 'no'
}

function age(ms: number | null): string {
  return ms === null ? 'an unknown time' : duration(ms)
}
