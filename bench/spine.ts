/**
 * Onefold on one SQLite file against the hand-written floor, and against itself. Ratios of one run: pairs in the order
 * A B B A …, each sample in a process of its own, medians of the pairs' ratios.
 *
 *   node bench/spine.ts [--quick] [--json] [--accounts N] [--only phases,inbox,stored,idle]
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, fsyncSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { pragmas } from './floor.ts'
import type { Latency, LatencyOptions } from './latency.ts'
import { fsyncMs } from './latency.ts'
import type { IdKind } from './message.ts'
import type { Phase, Sample, SampleOptions } from './sample.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, accounts: { type: 'string' }, only: { type: 'string' } },
})
const quick = values.quick === true
const accounts = Number(values.accounts ?? 100_000)
const count = quick ? 50_000 : 200_000
const pairs = quick ? 3 : 7
const parts = new Set((values.only ?? 'phases,inbox,stored,idle').split(','))

const dir = mkdtempSync(join(tmpdir(), 'onefold-bench-'))
process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

interface Comparison {
  readonly what: string
  readonly target: string
  /** Median of the pairs' ratios first / second. */
  readonly ratio: number
  readonly lowest: number
  readonly highest: number
  readonly first: number
  readonly second: number
}

const say = (text: string): void => void (values.json === true ? process.stderr : process.stdout).write(`${text}\n`)

let folders = 0
function freshFolder(): string {
  const folder = join(dir, String(folders++))
  mkdirSync(folder)
  return folder
}

function run(script: string, options: object): string {
  return execFileSync(
    process.execPath,
    ['--expose-gc', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, script), JSON.stringify(options)],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
}

/** And waits for the disk: else the first checkpoint of the sample would have to write the whole copy out. */
function copyToDisk(from: string, to: string): void {
  copyFileSync(from, to)
  const copy = openSync(to, 'r+')
  fsyncSync(copy)
  closeSync(copy)
}

type Variant = Omit<SampleOptions, 'file' | 'start' | 'count' | 'accounts'>

/** `from`: a file with messages already, as many as `start`; each sample works on a copy. */
function sample(variant: Variant, base?: { readonly file: string; readonly start: number }, messages = count): number {
  const folder = freshFolder()
  const file = join(folder, 'bench.db')
  if (base !== undefined) copyToDisk(base.file, file)
  const options: SampleOptions = { ...variant, file, start: base?.start ?? 0, count: messages, accounts }
  const { perSecond } = JSON.parse(run('sample.ts', options)) as Sample
  rmSync(folder, { recursive: true })
  return perSecond
}

function compare(what: string, target: string, first: () => number, second: () => number): Comparison {
  const ratios: number[] = []
  const firsts: number[] = []
  const seconds: number[] = []
  for (let pair = 0; pair < pairs; pair++) {
    const [a, b] = pair % 2 === 0 ? [first(), second()] : [second(), first()].reverse()
    firsts.push(a as number)
    seconds.push(b as number)
    ratios.push((a as number) / (b as number))
  }
  ratios.sort((a, b) => a - b)
  const result = {
    what,
    target,
    ratio: median(ratios),
    lowest: ratios[0] ?? 0,
    highest: ratios.at(-1) ?? 0,
    first: median(firsts),
    second: median(seconds),
  }
  say(
    `${what.padEnd(52)} ${result.ratio.toFixed(3)}  (${result.lowest.toFixed(2)} to ${result.highest.toFixed(2)}; ${perSecond(result.first)} against ${perSecond(result.second)}; target ${target})`,
  )
  return result
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

const perSecond = (value: number): string => `${Math.round(value).toLocaleString('en-US')}/s`

function phases(): Comparison[] {
  const of =
    (subject: 'floor' | 'onefold', phase: Phase): (() => number) =>
    () =>
      sample({ subject, phase, ids: 'ordered' })
  const against = (phase: Phase): Comparison =>
    compare(`${phase}, Onefold / floor`, '>= 0.6', of('onefold', phase), of('floor', phase))
  return (['publish', 'publish one by one', 'consume', 'end to end'] as const).map(against)
}

function inboxCost(): Comparison[] {
  const with_ =
    (inbox: boolean, stripped: boolean): (() => number) =>
    () =>
      sample({ subject: 'onefold', phase: 'consume', ids: 'ordered', stripped, inbox })
  return [
    compare('consume with / without inbox, in-database', '>= 0.97', with_(true, false), with_(false, false)),
    compare('consume with / without inbox, broker with offsets off', '>= 0.97', with_(true, true), with_(false, true)),
  ]
}

/** Wide enough for every balance to come: the user's table is, and stays, as large in a file with few messages as in one with many. */
const balance = 10 ** 12

function fillAccounts(file: string): void {
  using database = new DatabaseSync(file)
  database.exec(
    'pragma journal_mode = wal; create table account (id text primary key, balance integer not null) without rowid; begin',
  )
  const insert = database.prepare(`insert into account (id, balance) values (?, ${balance})`)
  for (let n = 0; n < accounts; n++) insert.run(`account-${n}`)
  database.exec('commit')
}

function stored(): Comparison[] {
  const many = quick ? 200_000 : 1_000_000
  const fed = 40_000
  // What is compared is how fast it runs, not how fast it starts: filters and pages are read when first needed.
  const untimed = 20_000
  return (['ordered', 'random'] as const satisfies readonly IdKind[]).map((ids) => {
    const base = (messages: number): { file: string; start: number } => {
      const file = join(freshFolder(), 'stored.db')
      const options: SampleOptions = { subject: 'onefold', phase: 'end to end', ids, file, start: 0, count: messages, accounts }
      fillAccounts(file)
      run('sample.ts', options)
      using database = new DatabaseSync(file)
      database.exec('pragma wal_checkpoint(truncate)')
      return { file, start: messages }
    }
    const few = base(10_000)
    const full = base(many)
    const more =
      (from: typeof few): (() => number) =>
      () =>
        sample({ subject: 'onefold', phase: 'end to end', ids, untimed }, from, untimed + fed)
    const result = compare(
      `end to end at ${many.toLocaleString('en-US')} / 10,000 stored, ${ids} ids`,
      '>= 0.9',
      more(full),
      more(few),
    )
    rmSync(full.file)
    return result
  })
}

interface Idle {
  readonly fsyncMs: number
  readonly oneProcess: Latency
  readonly twoProcesses: Latency
  /** Per message, publish to applied; null without strace. */
  readonly fsyncs: number | null
}

function idle(): Idle {
  const latency = (processes: 1 | 2): Latency =>
    JSON.parse(
      run('latency.ts', { file: join(freshFolder(), 'idle.db'), count: quick ? 100 : 400, processes } satisfies LatencyOptions),
    ) as Latency
  const result: Idle = {
    fsyncMs: fsyncMs(join(dir, 'fsync')),
    oneProcess: latency(1),
    twoProcesses: latency(2),
    fsyncs: fsyncsPerMessage(),
  }
  const told = ({ p50Ms, p99Ms }: Latency): string =>
    `p50 ${p50Ms.toFixed(2)} ms = ${(p50Ms / result.fsyncMs).toFixed(1)} fsyncs, p99 ${p99Ms.toFixed(2)} ms`
  say(`publish to applied at idle, one process              ${told(result.oneProcess)}; target p50 < 5 ms`)
  say(`publish to applied at idle, two processes            ${told(result.twoProcesses)}`)
  say(
    `fsyncs per message at idle                           ${result.fsyncs?.toFixed(2) ?? 'not measured: no strace'}; target <= 3`,
  )
  return result
}

/** Counted by the kernel: the difference between two runs, so that opening and closing do not count. */
function fsyncsPerMessage(): number | null {
  const calls = (messages: number): number | undefined => {
    const trace = join(freshFolder(), 'trace')
    const options: LatencyOptions = { file: `${trace}.db`, count: messages, processes: 1 }
    const script = join(import.meta.dirname, 'latency.ts')
    const traced = spawnSync('strace', [
      '-f',
      '-qq',
      '-e',
      'trace=fsync,fdatasync',
      '-o',
      trace,
      process.execPath,
      script,
      JSON.stringify(options),
    ])
    if (traced.status !== 0 || !existsSync(trace)) return undefined
    return readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => /f(data)?sync\(/.test(line)).length
  }
  const [few, many] = [calls(50), calls(250)]
  return few === undefined || many === undefined ? null : (many - few) / 200
}

const settings = {
  node: process.version,
  sqlite: new DatabaseSync(':memory:').prepare('select sqlite_version() as version').get()?.version,
  cpu: `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown'}`,
  messages: count,
  pairs,
  accounts,
  floor: `${pragmas}; 500 messages a transaction`,
  onefold: 'defaults: 8 partitions, batches of 500, publishMany of 500, synchronous=FULL',
}
for (const [name, value] of Object.entries(settings)) say(`${name.padEnd(10)} ${value}`)

const results = {
  settings,
  phases: parts.has('phases') ? phases() : [],
  inbox: parts.has('inbox') ? inboxCost() : [],
  stored: parts.has('stored') ? stored() : [],
  idle: parts.has('idle') ? idle() : null,
}
if (values.json === true) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
