import { basename } from 'node:path'
import type { DatabaseStatus, GroupStatus, TopicStatus } from '../inspect/status.ts'
import { bytes, count, duration, printable, table } from './readable.ts'

/** What a group's semantics promise, in words. */
const promises: Readonly<Record<string, string>> = {
  'effectively-once': 'the effect commits together with the record that it was applied: once',
  'at-least-once': 'acknowledged after the handler, never inside a transaction: its effect may happen again after a crash',
  'at-most-once': 'acknowledged before the handler: its effect may be lost in a crash, and never happens again',
}

/** Partitions shown one by one; more are counted. */
const maxPartitions = 8

export function renderStatus(status: DatabaseStatus, nowMs: number): string {
  const { database } = status
  const lock = database.writeLockHolder === null ? 'free' : `held by pid ${database.writeLockHolder.pid}`
  const parts = [
    `${printable(basename(database.file))}  ${bytes(database.bytes)}, write-ahead log ${bytes(database.walBytes)}, write lock ${lock}, ` +
      `schema ${database.schemaVersion}\n`,
    section('Topics', renderTopics(status.topics), 'none yet: onefold publish TOPIC creates one'),
    section('Groups', renderGroups(status.groups), 'none yet: onefold consume TOPIC --group G creates one'),
    ...renderPromises(status.groups),
    section('Owners', renderOwners(status, nowMs), 'no process consumes'),
  ]
  if (status.dedupWindows.length > 0) parts.push(section('Duplicates are recognised among', renderWindows(status)))
  const waiting = [
    ...(status.scheduled > 0 ? [`${count(status.scheduled)} scheduled for later`] : []),
    ...(status.outbox.unsent > 0
      ? [`${count(status.outbox.unsent)} in the outbox, the oldest for ${age(status.outbox.oldestAgeMs)}`]
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

function renderWindows(status: DatabaseStatus): string {
  const rows = status.dedupWindows.map((window) => [
    window.name,
    count(window.ids),
    duration(window.liveMs),
    count(window.generations),
  ])
  return table(['NAME', '>IDS', '>REACHING BACK', '>GENERATIONS'], rows, '  ')
}

/** A topic known by name only so far has not said yet whether its messages have keys. */
export function keyedWord(keyed: boolean | null): string {
  if (keyed === null) return 'open'
  return keyed ? 'yes' : 'no'
}

function age(ms: number | null): string {
  return ms === null ? 'an unknown time' : duration(ms)
}
