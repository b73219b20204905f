/**
 * The ledger job on PostgreSQL, publish to applied: Onefold against the hand-written floor and against pg-boss and graphile-worker.
 * Ratios of one run: A B B A …, each sample in a process and a database of its own, medians of the pairs' ratios. fsync is on.
 *
 *   (cd bench && npm install) && node bench/ledger/main.ts [--quick] [--json] [--only set-based,one-by-one]
 */
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Pool } from 'pg'
import { startPostgres } from '../../scripts/engines/postgres.ts'
import type { Sample, SampleOptions, SubjectName } from './sample.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, only: { type: 'string' } },
})
const quick = values.quick === true
const pairs = quick ? 3 : 5
const only = new Set((values.only ?? 'set-based,one-by-one').split(','))

interface Comparison {
  readonly style: SampleOptions['style']
  readonly other: SubjectName
  readonly messages: number
  /** Of Onefold's rate to the other's. */
  readonly target: string
}

/** Enough that the quickest takes seconds: with fewer, half of its time is a program that has just begun. */
const few = quick ? 4_000 : 12_000

const comparisons: readonly Comparison[] = [
  { style: 'set-based', other: 'floor', messages: quick ? 20_000 : 60_000, target: '>= 0.7' },
  { style: 'set-based', other: 'graphile-worker', messages: quick ? 20_000 : 60_000, target: '>= 1.4' },
  { style: 'set-based', other: 'pg-boss', messages: quick ? 20_000 : 60_000, target: '>= 2' },
  { style: 'one by one', other: 'floor', messages: few, target: '' },
  { style: 'one by one', other: 'graphile-worker', messages: few, target: '>= 5' },
  { style: 'one by one', other: 'pg-boss', messages: few, target: '>= 5' },
]

const say = (text: string): void => void (values.json === true ? process.stderr : process.stdout).write(`${text}\n`)

await using stack = new AsyncDisposableStack()
const server = await startPostgres()
stack.defer(() => server.stop())
const maintenance = new Pool({ connectionString: server.url, max: 1 })
stack.defer(() => maintenance.end())

async function sample(subject: SubjectName, style: SampleOptions['style'], count: number): Promise<number> {
  const name = `bench_${randomUUID().replaceAll('-', '')}`
  await maintenance.query(`create database ${name}`)
  const url = new URL(server.url)
  url.pathname = `/${name}`
  const options: SampleOptions = { subject, style, count, url: url.href }
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'sample.ts'), JSON.stringify(options)],
    {
      encoding: 'utf8',
      timeout: 300_000,
    },
  )
  await maintenance.query(`drop database ${name} with (force)`)
  if (status !== 0) throw new Error(`${subject}, ${style}: ${stderr}`)
  const { perSecond, wrong } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Sample
  if (wrong.length > 0) throw new Error(`${subject}, ${style}: the audit found ${wrong.length} wrong balances: ${wrong[0]}`)
  return perSecond
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

const results: object[] = []
const peers = existsSync(join(import.meta.dirname, '../node_modules/pg-boss'))
for (const { style, other, messages, target } of comparisons) {
  if (!only.has(style.replaceAll(' ', '-'))) continue
  if (!peers && other !== 'floor') {
    say(`skipped: ${style}, against ${other}: not installed; (cd bench && npm install)`)
    continue
  }
  const ratios: number[] = []
  const rates = { onefold: [] as number[], other: [] as number[] }
  for (let pair = 0; pair < pairs; pair++) {
    const order: SubjectName[] = pair % 2 === 0 ? ['onefold', other] : [other, 'onefold']
    const measured = new Map<SubjectName, number>()
    for (const subject of order) measured.set(subject, await sample(subject, style, messages))
    const [mine, theirs] = [measured.get('onefold') ?? 0, measured.get(other) ?? 1]
    ratios.push(mine / theirs)
    rates.onefold.push(mine)
    rates.other.push(theirs)
  }
  const ratio = median(ratios)
  results.push({ style, other, messages, pairs, target, ratio, lowest: Math.min(...ratios), highest: Math.max(...ratios) })
  say(
    `${style}: onefold / ${other} ${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})${target === '' ? '' : `, target ${target}`}` +
      `   [${median(rates.onefold)} against ${median(rates.other)}, for orientation; ${pairs} pairs of ${messages} messages]`,
  )
}
if (values.json === true) console.log(JSON.stringify(results, null, 2))
