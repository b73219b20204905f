/**
 * npm run demo: real GitHub webhooks, published with duplicates, consumed by processes that are killed all the time; then an
 * audit of what became of them. See options.ts for the options and audit.ts for the judge.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { isClean } from './audit.ts'
import type { Databases } from './database.ts'
import { openDatabases } from './database.ts'
import type { DemoOptions } from './options.ts'
import { parseOptions, UsageError, usage } from './options.ts'
import type { Audit, RunResult } from './run.ts'
import { DemoFailure, Run } from './run.ts'
import { introduction, LiveTable, promiseOf, report } from './screen.ts'

const options = optionsOrExit()
const dir = options.dir === undefined ? mkdtempSync(join(tmpdir(), 'onefold-demo-')) : resolve(options.dir)
let running: Run | undefined
let databases: Databases | undefined
let interrupted = false

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    interrupted = true
    process.stderr.write('\nstopped; ending the worker processes\n')
    running?.destroy()
    await cleanUp()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  })
}

process.exitCode = await demo()

async function demo(): Promise<number> {
  if (!options.json) process.stdout.write(`${introduction(options)}\n`)
  const results: RunResult[] = []
  try {
    databases = await openDatabases(options.database, dir, options)
    for (const topology of options.topologies) {
      const folder = join(dir, topology)
      mkdirSync(folder, { recursive: true })
      const run = new Run(topology, options, databases.place(folder), folder)
      running = run
      using _ = options.json && !process.stderr.isTTY ? undefined : new LiveTable(process.stderr, () => run.progress())
      results.push(await run.toItsEnd())
    }
  } catch (error) {
    // The database is being taken away, and then the process ends.
    if (interrupted) return await new Promise(() => {})
    running?.destroy()
    const why = error instanceof DemoFailure ? error.message : error instanceof Error ? error.stack : String(error)
    process.stderr.write(`\nThe demo could not be brought to its end: ${why}\n`)
    if (options.json) process.stdout.write(`${JSON.stringify({ ok: false, error: why })}\n`)
    return 1
  } finally {
    await cleanUp()
  }
  process.stdout.write(options.json ? `${JSON.stringify(document(options, results), null, 2)}\n` : report(options, results))
  if (options.dir !== undefined && !options.json) process.stdout.write(`The files are kept in ${dir}\n`)
  return results.every(({ audit }) => isClean(audit)) ? 0 : 1
}

/** The sums over both topologies at the top, each topology's own numbers below. */
function document(of: DemoOptions, results: readonly RunResult[]) {
  const sum = (field: keyof Audit): number => results.reduce((total, { audit }) => total + audit[field], 0)
  const seconds = Math.round(sum('seconds') * 10) / 10
  const fields = Object.keys(results[0]?.audit ?? {}) as (keyof Audit)[]
  return {
    ok: results.every(({ audit }) => isClean(audit)),
    // Without the user and the password.
    database: of.database.includes('://') ? 'postgres' : of.database,
    semantics: of.semantics,
    promise: promiseOf(of.semantics),
    workers: of.workers,
    seed: of.seed,
    ...(Object.fromEntries(fields.map((field) => [field, sum(field)])) as unknown as Audit),
    seconds,
    throughput: Math.round(sum('messages') / seconds),
    topologies: Object.fromEntries(
      results.map(({ topology, audit, examples, killPoints }) => [topology, { ...audit, killPoints, examples }]),
    ),
  }
}

async function cleanUp(): Promise<void> {
  const open = databases
  databases = undefined
  await open?.close().catch((error: Error) => process.stderr.write(`${error.message}\n`))
  if (options.dir === undefined) rmSync(dir, { recursive: true, force: true })
}

function optionsOrExit(): DemoOptions {
  try {
    const parsed = parseOptions(process.argv.slice(2))
    if (parsed !== 'help') return parsed
    process.stdout.write(usage)
    process.exit(0)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n\n${usage}`)
    process.exit(2)
  }
}
