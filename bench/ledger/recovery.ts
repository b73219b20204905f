/**
 * How long after `kill -9` of a worker in the middle of a transaction the last message is applied. Two workers, each a process of its own,
 * share a steady flow of the ledger job; one is killed while it holds a batch, the other one is there all the time, and the flow
 * ends with the kill. Onefold, pg-boss and graphile-worker, one server with fsync on, a database of its own for each repetition.
 *
 *   (cd bench && npm install) && node bench/ledger/recovery.ts [--repetitions 5] [--give-up-seconds 60] [--only onefold,pg-boss] [--json]
 *
 * Every balance is checked where all was applied. What is given up says how many messages were left.
 */
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { makeWorkerUtils } from 'graphile-worker'
import { Pool } from 'pg'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import { stopAfterwards } from '../../scripts/engines/stop-afterwards.ts'
import { bookings } from '../message.ts'
import { median, pause, waitUntil, whole } from './bounded.ts'
import { Child } from './child.ts'
import type { Subject } from './job.ts'
import { accounts, audit, tables } from './job.ts'
import type { RecoveryProcessOptions } from './recovery-process.ts'
import { subject as graphile, silent } from './with-graphile-worker.ts'
import { withOnefold } from './with-onefold.ts'
import type { BossSettings } from './with-pg-boss.ts'
import { subject as boss } from './with-pg-boss.ts'

type Name = RecoveryProcessOptions['subject']
const names: readonly Name[] = ['onefold', 'pg-boss', 'graphile-worker']

const { values } = parseArgs({
  options: {
    repetitions: { type: 'string' },
    'give-up-seconds': { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const repetitions = whole('repetitions', values.repetitions, 5, 1, 100)
const giveUpMs = whole('give-up-seconds', values['give-up-seconds'], 60, 5, 86_400) * 1_000
const only = new Set<string>(values.only?.split(',') ?? names)
for (const name of only) {
  if (names.includes(name as Name)) continue
  console.error(`--only: some of ${names.join(',')}, not ${name}`)
  process.exit(2)
}

interface Case {
  readonly subject: Name
  readonly settings: string
  readonly boss?: BossSettings
  readonly graphile?: { readonly pollInterval: number }
  readonly leaseMs?: number
  readonly elsewhere?: boolean
  /** Whoever has seen the process end tells graphile-worker at once, by the name of its pool of workers. */
  readonly unlocks?: boolean
  /** To compare with: it holds nothing, and lives. */
  readonly lives?: boolean
  /** It waits for a time limit: repetitions wait beside each other. */
  readonly waits?: boolean
}

const supervised = { superviseIntervalSeconds: 1, monitorIntervalSeconds: 1 }
const cases: readonly Case[] = [
  { subject: 'onefold', settings: 'nobody is killed', lives: true },
  { subject: 'onefold', settings: 'defaults, both workers on one machine' },
  { subject: 'onefold', settings: 'defaults (leaseMs 10,000), the other worker as if on another machine', elsewhere: true },
  { subject: 'onefold', settings: 'leaseMs 1,000, as if on another machine', leaseMs: 1_000, elsewhere: true },
  { subject: 'pg-boss', settings: 'nobody is killed', lives: true },
  { subject: 'pg-boss', settings: 'defaults (expireInSeconds 900, no heartbeat)', waits: true },
  {
    subject: 'pg-boss',
    settings: 'heartbeatSeconds 10 (the least), superviseIntervalSeconds 1, monitorIntervalSeconds 1',
    boss: { boss: supervised, queue: { heartbeatSeconds: 10 } },
  },
  {
    subject: 'pg-boss',
    settings: 'expireInSeconds 2 (no batch may take longer), superviseIntervalSeconds 1, monitorIntervalSeconds 1',
    boss: { boss: supervised, queue: { expireInSeconds: 2 } },
  },
  { subject: 'graphile-worker', settings: 'nobody is killed', lives: true },
  { subject: 'graphile-worker', settings: 'defaults (locks expire after 4 hours)', waits: true },
  {
    subject: 'graphile-worker',
    settings: 'forceUnlockWorkers called by a supervisor as soon as the process has ended',
    unlocks: true,
  },
  {
    subject: 'graphile-worker',
    settings: 'the same, with pollInterval 100 (default 2,000)',
    unlocks: true,
    graphile: { pollInterval: 100 },
  },
]

const batch = 50
const everyMs = 20
const partitions = 8
const transaction = 5
const holdsWithinMs = 60_000

const json = values.json === true
const say = (line: string): void => void (json ? process.stderr : process.stdout).write(`${line}\n`)

await using stack = new AsyncDisposableStack()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void stack.disposeAsync().finally(() => process.exit(1)))
const server = await startPostgres()
const callOff = stopAfterwards(server.folder)
stack.defer(async () => {
  await server.stop()
  callOff()
})
const maintenance = new Pool({ connectionString: server.url, max: 1 })
maintenance.on('error', () => undefined)
stack.defer(() => maintenance.end())
const children = new Set<Child>()
stack.defer(() => {
  for (const child of children) child.kill()
})

interface Outcome {
  /** From the kill to the last message applied; undefined: given up. */
  readonly ms: number | undefined
  readonly messages: number
  readonly left: number
}

/** Resolves once the worker has been killed, and then waits for the other one to do the rest. */
async function repetition(one: Case): Promise<{ readonly outcome: Promise<Outcome> }> {
  const { subject, elsewhere } = one
  const database = `bench_${randomUUID().replaceAll('-', '')}`
  await maintenance.query(`create database ${database}`)
  const at = new URL(server.url)
  at.pathname = `/${database}`
  const url = at.href
  const pool = new Pool({ connectionString: url, max: 2 })
  pool.on('error', () => undefined)
  await pool.query(tables)

  const onefold = { partitions, ...(one.leaseMs === undefined ? {} : { leaseMs: one.leaseMs }) }
  const settings = {
    subject,
    url,
    onefold,
    ...(one.boss === undefined ? {} : { boss: one.boss }),
    ...(one.graphile === undefined ? {} : { graphile: one.graphile }),
  }
  const publisher = publisherOf(one, url, onefold)
  await publisher.prepare()
  const other = await start({ ...settings, elsewhere: elsewhere === true })
  const killed = await start({ ...settings, marks: { transaction, stays: one.lives !== true } })
  other.tell('go')
  killed.tell('go')

  let held: { readonly workers: string[]; readonly fromMs: number } | undefined
  void killed.heard('holding').then(
    (workers) => {
      if (one.lives !== true) killed.kill()
      held = { workers: workers as string[], fromMs: performance.now() }
    },
    () => undefined,
  )
  let messages = 0
  await waitUntil(`${subject}: a worker holds a batch`, holdsWithinMs, everyMs, async () => {
    if (held !== undefined) return true
    await publisher.publish(bookings(messages, batch, 'ordered', accounts))
    messages += batch
    return false
  })
  const { workers, fromMs } = held as unknown as { readonly workers: string[]; readonly fromMs: number }
  if (one.lives !== true) await killed.ended
  if (one.unlocks === true) {
    const utils = await makeWorkerUtils({ connectionString: url, logger: silent })
    await utils.forceUnlockWorkers(workers)
    await utils.release()
  }

  const outcome = (async (): Promise<Outcome> => {
    let applied = 0
    while (performance.now() - fromMs < giveUpMs) {
      applied = await appliedIn(pool, subject)
      if (applied >= messages) break
      await pause(5)
    }
    const ms = performance.now() - fromMs
    await stop(other)
    if (one.lives === true) await stop(killed)
    await publisher.stop()
    const wrong = applied < messages ? [] : await audit(pool, bookings(0, messages, 'ordered', accounts))
    if (wrong.length > 0 || applied > messages) throw new Error(`${subject}: ${applied} of ${messages} applied; ${wrong[0]}`)
    await pool.end()
    await maintenance.query(`drop database ${database} with (force)`)
    return { ms: applied < messages ? undefined : ms, messages, left: messages - applied }
  })()
  return { outcome }
}

function publisherOf({ subject, boss: settings }: Case, url: string, onefold: { readonly partitions: number }): Subject {
  const options = { url, style: 'set-based' } as const
  if (subject === 'onefold') return withOnefold(options, onefold)
  // It looks after nothing: that is for the workers.
  if (subject === 'pg-boss') return boss(options, { ...settings, boss: { supervise: false, schedule: false } })
  return graphile(options)
}

async function start(options: RecoveryProcessOptions): Promise<Child> {
  const child = new Child('recovery-process.ts', options)
  children.add(child)
  await child.heard('ready')
  return child
}

async function stop(child: Child): Promise<void> {
  await child.stop()
  children.delete(child)
}

async function appliedIn(pool: Pool, subject: Name): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(
    subject === 'onefold'
      ? 'select coalesce(sum(applied), 0)::int as n from onefold.checkpoint'
      : 'select count(*)::int as n from inbox',
  )
  return rows[0]?.n ?? 0
}

const seconds = (ms: number | undefined): string => (ms === undefined ? `> ${giveUpMs / 1_000}` : (ms / 1_000).toFixed(2))

say(`| | settings | median s | least | most | left when given up |\n|---|---|---:|---:|---:|---:|`)
const results: { readonly case: Case; readonly outcomes: readonly Outcome[]; readonly medianMs: number }[] = []
for (const one of cases) {
  if (!only.has(one.subject)) continue
  const outcomes: Outcome[] = []
  const waiting: Promise<Outcome>[] = []
  for (let turn = 0; turn < repetitions; turn++) {
    const { outcome } = await repetition(one)
    if (one.waits === true) waiting.push(outcome)
    else outcomes.push(await outcome)
  }
  outcomes.push(...(await Promise.all(waiting)))
  const took = outcomes.map(({ ms }) => ms ?? Number.POSITIVE_INFINITY).toSorted((a, b) => a - b)
  const finite = (ms: number | undefined): string => seconds(ms === Number.POSITIVE_INFINITY ? undefined : ms)
  const left = outcomes.filter((outcome) => outcome.ms === undefined).map((outcome) => outcome.left)
  const medianMs = median(took)
  results.push({ case: one, outcomes, medianMs })
  say(
    `| ${one.subject} | ${one.settings} | ${finite(medianMs)} | ${finite(took[0])} | ${finite(took.at(-1))} | ${left.length === 0 ? '' : left.join(', ')} |`,
  )
}

const onefold = results.find(
  ({ case: { subject, lives, elsewhere } }) => subject === 'onefold' && lives !== true && elsewhere !== true,
)
if (onefold !== undefined) {
  const most = Math.max(...onefold.outcomes.map(({ ms }) => ms ?? Number.POSITIVE_INFINITY))
  say(`\n- Onefold on one machine, the longest of ${repetitions}: ${(most / 1_000).toFixed(2)} s (target: below 2 s)`)
  for (const { case: other, medianMs } of results) {
    if (other.subject === 'onefold' || other.lives === true) continue
    const ratio = Number.isFinite(medianMs)
      ? (medianMs / onefold.medianMs).toFixed(1)
      : `> ${(giveUpMs / onefold.medianMs).toFixed(0)}`
    say(`- ${other.subject}, ${other.settings} / Onefold on one machine, defaults: ${ratio}`)
  }
}
if (json) console.log(JSON.stringify(results, null, 2))
