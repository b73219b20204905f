import type { WriteStream } from 'node:tty'
import { isClean } from './audit.ts'
import type { DemoOptions, TopologyName } from './options.ts'
import type { Audit, Progress, RunResult } from './run.ts'
import { eventCount, exampleCount } from './webhooks.ts'

const promises: Readonly<Record<DemoOptions['semantics'], string>> = {
  'effectively-once': 'messages may arrive many times; their effect happens once, in order per repository.',
  'at-least-once': 'nothing is lost, but after a crash a message may be applied again. Expect doubles, and exit code 1.',
  'at-most-once': 'nothing is applied again, but after a crash messages may be lost. Expect losses, and exit code 1.',
}

const topologies: Readonly<Record<TopologyName, string>> = {
  'in-database': 'one {database} is both database and broker',
  'test-broker': 'messages travel by a broker that duplicates, reorders across keys, hands over again what was acknowledged',
}

export function promiseOf(semantics: DemoOptions['semantics']): string {
  return promises[semantics]
}

export function introduction(options: DemoOptions): string {
  const { messages, workers, seed, semantics, killEveryMs } = options
  const kills =
    killEveryMs === 0
      ? 'Nobody is killed (--kill-every-ms 0).'
      : `All the while workers are killed with SIGKILL, at work, and started again.
  The sender is killed too; it remembers nothing and sends everything again from the first message.`
  return `
Onefold demo

  ${count(messages)} GitHub webhooks (${exampleCount} real payloads of ${eventCount} kinds), ${Math.round(options.duplicates * 100)} % of them published more than once.
  ${workers} worker ${workers === 1 ? 'process applies' : 'processes apply'} each: one row, a running total per repository, and one published summary,
  which a second group writes down in its turn.
  ${kills}
  ${options.topologies.map((name, index) => `${index === 0 ? 'Runs:' : '     '} ${name}: ${topologies[name].replace('{database}', options.database === 'sqlite' ? 'SQLite file' : 'PostgreSQL database')}`).join('\n  ')}

  Promise of '${semantics}': ${promises[semantics]}
  (--seed ${seed} sends the same messages and plans the same kills)
`
}

/** Redraws itself on a terminal; elsewhere one line now and then. */
export class LiveTable implements Disposable {
  readonly #stream: WriteStream
  readonly #progress: () => Progress
  readonly #timer: NodeJS.Timeout
  #lines = 0
  #quarter = 0

  constructor(stream: WriteStream, progress: () => Progress) {
    this.#stream = stream
    this.#progress = progress
    this.#timer = setInterval(() => this.#draw(), stream.isTTY ? 200 : 1_000)
  }

  #draw(): void {
    const progress = this.#progress()
    if (!this.#stream.isTTY) {
      const quarter = Math.floor((4 * progress.events) / progress.messages)
      if (quarter > this.#quarter) this.#stream.write(`${oneLine(progress)}\n`)
      this.#quarter = quarter
      return
    }
    this.#erase()
    const lines = table(progress).map((line) => line.slice(0, Math.max(20, this.#stream.columns - 1)))
    this.#stream.write(`${lines.join('\n')}\n`)
    this.#lines = lines.length
  }

  #erase(): void {
    if (this.#lines > 0) this.#stream.write(`\u001b[${this.#lines}A\u001b[0J`)
    this.#lines = 0
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#erase()
  }
}

function oneLine(progress: Progress): string {
  const { topology, messages, events, summaries, kills, seconds } = progress
  return `${topology}: ${count(events)} of ${count(messages)} applied, ${count(summaries)} summaries, ${kills} workers killed, ${seconds.toFixed(0)} s`
}

function table(progress: Progress): string[] {
  const { topology, phase, messages, publishedUpTo, events, summaries, workers } = progress
  const phases = {
    storm: 'sending, applying, killing',
    calm: 'no more kills: waiting until nothing is left to do',
    audit: 'reading the tables',
  }
  return [
    `${topology}  ${progress.seconds.toFixed(1)} s  ${phases[phase]}`,
    `  published  ${bar(publishedUpTo / messages)} ${count(publishedUpTo)}  (repeats recognised: ${count(progress.duplicatesPublished)})`,
    `  applied    ${bar(events / messages)} ${count(events)}`,
    `  summaries  ${bar(summaries / messages)} ${count(summaries)}`,
    `  SIGKILLs   ${progress.kills} at work: ${progress.killsInsideTransaction} inside a transaction, ${progress.killsAfterCommit} between commit and acknowledge; sender ${progress.publisherKills}`,
    ...workers.map(({ pid, ready, incarnation, state }, slot) => {
      const doing = ready ? `${count(state.handled)} handled, ${state.point}` : 'starting'
      return `  worker ${slot + 1}   pid ${String(pid ?? '').padEnd(8)} life ${String(incarnation).padEnd(3)} ${doing}`
    }),
  ]
}

function bar(part: number): string {
  const width = 30
  const full = Math.round(Math.min(1, part) * width)
  return `[${'='.repeat(full)}${' '.repeat(width - full)}]`
}

const rows: readonly (readonly [string, (audit: Audit) => string])[] = [
  ['messages', (audit) => count(audit.messages)],
  ['repeats published', (audit) => count(audit.duplicatesPublished)],
  ['deliveries (both groups)', (audit) => count(audit.deliveries)],
  ['  handed over again', (audit) => count(audit.redelivered)],
  ['  recognised, not applied again', (audit) => count(audit.suppressedByInbox)],
  ['workers killed at work', (audit) => count(audit.kills)],
  ['  inside a transaction', (audit) => count(audit.killsInsideTransaction)],
  ['  between commit and acknowledge', (audit) => count(audit.killsAfterCommit)],
  ['sender killed', (audit) => count(audit.publisherKills)],
  ['messages per second, under kills', (audit) => count(audit.throughput)],
  ['seconds', (audit) => audit.seconds.toFixed(1)],
]

const findings: readonly (readonly [string, (audit: Audit) => string])[] = [
  ['lost', (audit) => count(audit.lost)],
  ['applied twice', (audit) => count(audit.appliedTwice)],
  ['never sent, or altered', (audit) => count(audit.foreign)],
  ['out of order within a repository', (audit) => count(audit.keyOrderViolations)],
  ['repositories with a wrong total', (audit) => count(audit.totalsWrong)],
]

export function report(options: DemoOptions, results: readonly RunResult[]): string {
  const line = ([label, value]: (typeof rows)[number]): string =>
    `  ${label.padEnd(34)}${results.map(({ audit }) => value(audit).padStart(14)).join('')}`
  const head = `  ${''.padEnd(34)}${results.map(({ topology }) => topology.padStart(14)).join('')}`
  const rule = `  ${'-'.repeat(34 + 14 * results.length)}`
  const examples = results.flatMap(({ topology, examples: sentences }) =>
    sentences.map((sentence) => `  ${topology}, ${sentence}`),
  )
  return [
    head,
    ...rows.map(line),
    rule,
    "  audit, from the demo's own tables",
    ...findings.map(line),
    '',
    ...(examples.length > 0 ? ['  For instance:', ...examples, ''] : []),
    verdict(options, results),
    '',
  ].join('\n')
}

function verdict({ semantics }: DemoOptions, results: readonly RunResult[]): string {
  const all = (pick: (audit: Audit) => number): number => results.reduce((sum, { audit }) => sum + pick(audit), 0)
  const kills = `${count(all((audit) => audit.kills))} kills`
  const other = all(({ foreign, keyOrderViolations }) => foreign + keyOrderViolations)
  const lost = all((audit) => audit.lost)
  const twice = all((audit) => audit.appliedTwice)
  if (results.every(({ audit }) => isClean(audit))) {
    const luck = semantics === 'effectively-once' ? '' : ` '${semantics}' does not promise that: this run was lucky.`
    return `CLEAN: ${count(all((audit) => audit.messages))} messages, ${kills}: nothing lost, nothing applied twice, order kept, totals right.${luck}`
  }
  if (semantics === 'at-least-once' && lost + other === 0) {
    return `As 'at-least-once' promises, and no more: nothing lost, but ${count(twice)} effects happened twice under ${kills}. Exit code 1.`
  }
  if (semantics === 'at-most-once' && twice + other === 0) {
    return `As 'at-most-once' promises, and no more: nothing applied twice, but ${count(lost)} effects are missing after ${kills}. Exit code 1.`
  }
  return `BROKEN: '${semantics}' was promised, and the tables say otherwise. This is a bug: please report it with the seed above.`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
