import type { Pool } from 'pg'
import type { Booking } from '../message.ts'
import { bookings } from '../message.ts'
import type { Fleet } from './backlog-fleet.ts'
import { workers } from './backlog-fleet.ts'
import { median, pause } from './bounded.ts'
import { accounts, audit } from './job.ts'
import type { OnefoldSettings } from './with-onefold.ts'

export const partitions = 16
const parts = 10
const stalledMs = 120_000
const sampleMs = 25
/** Everything is kept, and nothing forgotten. */
const growing: OnefoldSettings = { partitions }

export interface BacklogOptions {
  readonly fleet: Fleet
  readonly pool: Pool
  readonly messages: number
  readonly say: (line: string) => void
}

interface Sample {
  readonly atMs: number
  readonly applied: number
  readonly serverMs: number
  readonly workersMs: number
}

export interface Part {
  readonly perSecond: number
  /** CPU time in ms for 1,000 messages. */
  readonly serverMs: number
  readonly workersMs: number
}

/** Publishes, has it consumed, and prints what each tenth took. Throws when anything was lost, doubled or wrong. */
export async function measureBacklog({ fleet, pool, messages, say }: BacklogOptions) {
  say(`### ${messages} messages, ${workers} processes, ${partitions} partitions\n`)
  const publishing = await fleet.publish(0, messages, growing)
  say(`Published in ${publishing.toFixed(0)} s, ${Math.round(messages / publishing)}/s, every twentieth twice.\n`)

  await fleet.startWorkers(growing)
  fleet.go()
  const samples: Sample[] = []
  let all = false
  void fleet.allApply().then(
    () => {
      all = true
    },
    () => undefined,
  )
  let base: Sample | undefined
  for (let moved = performance.now(); ; await pause(sampleMs)) {
    const applied = await appliedBy(pool, 'accounts')
    const atMs = performance.now()
    const cpu = fleet.cpu()
    const sample = { atMs, applied, serverMs: cpu?.server ?? Number.NaN, workersMs: cpu?.workers ?? Number.NaN }
    if (applied !== samples.at(-1)?.applied) moved = atMs
    if (atMs - moved > stalledMs) throw new Error(`nothing was applied for ${stalledMs / 1_000} s, after ${applied} messages`)
    samples.push(sample)
    if (all) base ??= sample
    if (applied >= messages) break
  }
  await fleet.stopWorkers()
  await auditAll(pool, messages)
  await auditSent(pool, messages)
  if (base === undefined || base.applied > messages / 2) throw new Error('it was over before all were working: more messages')

  const tenths = partsBetween(base.applied, messages, samples)
  say('| tenth | messages/s | CPU ms per 1,000: server | workers |\n|---:|---:|---:|---:|')
  for (const [index, { perSecond, serverMs, workersMs }] of tenths.entries())
    say(`| ${index + 1} | ${Math.round(perSecond)} | ${serverMs.toFixed(0)} | ${workersMs.toFixed(0)} |`)
  const rate = (part: Part): number => part.perSecond
  const cost = (part: Part): number => part.serverMs + part.workersMs
  const ratios = {
    lastToFirst: (tenths.at(-1)?.perSecond ?? 0) / (tenths[0]?.perSecond ?? 1),
    lastThreeToFirstThree: median(tenths.slice(-3).map(rate)) / median(tenths.slice(0, 3).map(rate)),
    costOfLastThreeToFirstThree: median(tenths.slice(-3).map(cost)) / median(tenths.slice(0, 3).map(cost)),
  }
  say(
    [
      '',
      `Tenths of what was left when every process was at work (${messages - base.applied} messages).`,
      `- last tenth / first tenth: ${ratios.lastToFirst.toFixed(2)} (target: at least 0.9)`,
      `- median of tenths 8 to 10 / of 1 to 3: ${ratios.lastThreeToFirstThree.toFixed(2)}`,
      `- CPU time of a message, median of tenths 8 to 10 / of 1 to 3: ${ratios.costOfLastThreeToFirstThree.toFixed(2)}`,
      `- audit: every balance right, ${messages} applied, none twice, ${messages} sent on`,
      '',
    ].join('\n'),
  )
  return { publishing, tenths, ratios }
}

export async function appliedBy(pool: Pool, group: string): Promise<number> {
  const { rows } = await pool.query<{ n: string }>(
    `select coalesce(sum(c.applied), 0) as n from onefold.checkpoint c join onefold.subscription using (subscription) where grp = $1`,
    [group],
  )
  return Number(rows[0]?.n)
}

/** Between two samples it is taken to have gone on evenly. */
function partsBetween(from: number, to: number, samples: readonly Sample[]): Part[] {
  const marks = Array.from({ length: parts + 1 }, (_, n) => at(from + ((to - from) * n) / parts, samples))
  return marks.slice(1).map((end, index) => {
    const start = marks[index] as Sample
    const thousands = (end.applied - start.applied) / 1_000
    return {
      perSecond: (thousands * 1_000_000) / (end.atMs - start.atMs),
      serverMs: (end.serverMs - start.serverMs) / thousands,
      workersMs: (end.workersMs - start.workersMs) / thousands,
    }
  })
}

function at(applied: number, samples: readonly Sample[]): Sample {
  const index = samples.findIndex((sample) => sample.applied >= applied)
  const after = samples[index] as Sample
  const before = samples[index - 1] ?? after
  const share = after.applied === before.applied ? 1 : (applied - before.applied) / (after.applied - before.applied)
  const between = (one: number, other: number): number => one + (other - one) * share
  return {
    atMs: between(before.atMs, after.atMs),
    applied,
    serverMs: between(before.serverMs, after.serverMs),
    workersMs: between(before.workersMs, after.workersMs),
  }
}

/** The first so many messages, and nothing else, took effect once. */
export async function auditAll(pool: Pool, messages: number): Promise<void> {
  const wrong = await audit(pool, allMessages(messages))
  if (wrong.length > 0) throw new Error(`the audit found ${wrong.length} wrong balances: ${wrong[0]}`)
  const applied = await appliedBy(pool, 'accounts')
  const { rows } = await pool.query<{ published: string; parked: string }>(
    `select (select sum(p.head) from onefold.partition p join onefold.topic t using (topic) where t.name = 'ledger') as published,
       (select count(*) from onefold.parked) as parked`,
  )
  const [found] = rows
  if (applied !== messages || Number(found?.published) !== messages || Number(found?.parked) !== 0)
    throw new Error(`${applied} applied, ${found?.published} in the log, ${found?.parked} parked, of ${messages}`)
}

/** As long as nothing has been removed. */
async function auditSent(pool: Pool, messages: number): Promise<void> {
  const { rows } = await pool.query<{ sent: string }>(
    `select count(*) as sent from onefold.log l join onefold.partition p using (partition) join onefold.topic t using (topic)
     where t.name = 'booked'`,
  )
  if (Number(rows[0]?.sent) !== messages) throw new Error(`${rows[0]?.sent} sent on, of ${messages}`)
}

function* allMessages(count: number): Generator<Booking> {
  for (let from = 0; from < count; from += 10_000) yield* bookings(from, Math.min(10_000, count - from), 'ordered', accounts)
}
