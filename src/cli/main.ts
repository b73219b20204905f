#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { OnefoldError } from '../errors.ts'
import { parseJson } from '../parse-json.ts'
import { nodeRuntime } from '../runtime/node-runtime.ts'
import { attention } from './attention.ts'
import { backup } from './backup.ts'
import type { Command, Surroundings } from './command.ts'
import { consume } from './consume.ts'
import { erase } from './erase.ts'
import { explain } from './explain.ts'
import { group } from './group.ts'
import { migrate } from './migrate.ts'
import { move } from './move.ts'
import { prove } from './prove.ts'
import { publish } from './publish.ts'
import { reportError } from './report-error.ts'
import { status } from './status.ts'
import { StopRequest } from './stop-request.ts'
import { OutputClosed, Terminal } from './terminal.ts'
import { topic } from './topic.ts'
import { UsageError } from './usage-error.ts'

const commands: readonly Command[] = [
  publish,
  consume,
  status,
  explain,
  prove,
  attention,
  group,
  topic,
  erase,
  backup,
  migrate,
  move,
]

function overview(): string {
  return [
    'Usage: onefold COMMAND [options]',
    '',
    'Messages may arrive many times; their effect happens once.',
    '',
    ...commands.map((command) => `  ${command.name.padEnd(11)}${command.summary}`),
    '',
    'onefold COMMAND --help   what it does, what it promises, its options, an example',
    'onefold --version        the version',
    '',
    'Every command reads --db FILE (default: $ONEFOLD_DB, or else ./onefold.db), or the URL of a PostgreSQL database, and --json.',
    'Exit codes: 0 done; 1 something was refused or failed, and is named; 2 the command line is wrong.',
    '',
  ].join('\n')
}

async function run(argv: readonly string[], { terminal, runtime }: Pick<Surroundings, 'terminal' | 'runtime'>): Promise<number> {
  const [name, ...rest] = argv
  if (name === '--version') {
    const description = parseJson(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
    await terminal.write(`${description.version}\n`)
    return 0
  }
  if (name === '--help' || name === 'help') {
    const wanted = commands.find((command) => command.name === rest[0])
    await terminal.write(wanted?.help() ?? overview())
    return 0
  }
  const command = commands.find((candidate) => candidate.name === name)
  if (command === undefined) {
    const names = commands.map((candidate) => candidate.name).join(', ')
    if (name === undefined) throw new UsageError(`name a command: ${names}`)
    if (name.startsWith('-')) throw new UsageError(`the command comes before ${name}; commands are ${names}`)
    throw new UsageError(`unknown command ${JSON.stringify(name)}; commands are ${names}`)
  }
  requireNode(24)
  using stop = new StopRequest(() => terminal.note('onefold: stopping; once more ends it at once'))
  return await command.run(rest, { terminal, stop, runtime, environment: process.env })
}

/** npm only warns of it, and an older Node's own error speaks of a missing module. */
function requireNode(major: number): void {
  const { node } = process.versions
  if (Number.parseInt(node, 10) >= major) return
  throw new OnefoldError('NOT_POSSIBLE', `Onefold needs Node ${major} or newer, but this is Node ${node}.`, { details: { node } })
}

const runtime = nodeRuntime()
const terminal = new Terminal({ stdout: process.stdout, stderr: process.stderr, nowMs: () => runtime.monotonicMs() })
const argv = process.argv.slice(2)
try {
  process.exitCode = await run(argv, { terminal, runtime })
} catch (error) {
  const command = commands.find((candidate) => candidate.name === argv[0])?.name
  // A reader that left while more was to come has had enough.
  process.exitCode =
    error instanceof OutputClosed ? 0 : await reportError(error, { command, json: argv.includes('--json'), terminal })
} finally {
  terminal.endProgress()
}
