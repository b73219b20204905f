import type { Runtime } from '../runtime.ts'
import type { OptionSpecs, Values } from './arguments.ts'
import { placeholder, readArguments } from './arguments.ts'
import { wrap } from './readable.ts'
import type { StopRequest } from './stop-request.ts'
import type { Terminal } from './terminal.ts'

/** What every command understands. */
export const commonOptions = {
  db: {
    kind: 'text',
    value: 'FILE|URL',
    help: 'the database file, or postgres://user@host/database',
    otherwise: '$ONEFOLD_DB, or else ./onefold.db',
  },
  schema: { kind: 'text', value: 'NAME', help: 'where the tables are in PostgreSQL', otherwise: 'onefold' },
  json: { kind: 'flag', help: 'exactly one JSON document on stdout, and nothing else there' },
  help: { kind: 'flag', help: 'this text' },
} as const satisfies OptionSpecs

/** The world around a command, so that it reaches for no global. */
export interface Surroundings {
  readonly terminal: Terminal
  readonly runtime: Runtime
  readonly stop: StopRequest
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface Invocation<Specs extends OptionSpecs> extends Surroundings {
  readonly values: Values<Specs & typeof commonOptions>
  readonly positionals: readonly string[]
}

export interface CommandDescription<Specs extends OptionSpecs> {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  readonly usage: readonly string[]
  /** Paragraphs: what it does. */
  readonly description: readonly string[]
  /** What is guaranteed, and when it is not. */
  readonly promise: string
  readonly options: Specs
  readonly examples: readonly string[]
  /** Answers the exit code. @throws UsageError, OnefoldError */
  run(invocation: Invocation<Specs>): Promise<number>
}

export interface Command {
  readonly name: string
  readonly summary: string
  help(): string
  run(argv: readonly string[], surroundings: Surroundings): Promise<number>
}

/** Options and help come from one description, so that the help cannot tell of an option that is not read. */
export function defineCommand<const Specs extends OptionSpecs>(description: CommandDescription<Specs>): Command {
  const specs = { ...description.options, ...commonOptions }
  const help = () => renderHelp(description, specs)
  return {
    name: description.name,
    summary: description.summary,
    help,
    async run(argv, surroundings) {
      if (argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined).includes('--help')) {
        await surroundings.terminal.write(help())
        return 0
      }
      const { values, positionals } = readArguments(argv, specs)
      return await description.run({ ...surroundings, values, positionals })
    },
  }
}

function renderHelp(description: CommandDescription<OptionSpecs>, specs: OptionSpecs): string {
  const options = Object.entries(specs).map(([name, spec]) => {
    const text = spec.otherwise === undefined ? spec.help : `${spec.help} (default: ${spec.otherwise})`
    const head = `  --${name} ${placeholder(spec)}`.trimEnd()
    const body = wrap(text, 26)
    return head.length < 25 ? `${head.padEnd(26)}${body.trimStart()}` : `${head}\n${body}`
  })
  return [
    ...description.usage.map((line, index) => `${index === 0 ? 'Usage: ' : '       '}onefold ${line}`),
    '',
    ...description.description.flatMap((paragraph) => [wrap(paragraph), '']),
    'Promise',
    wrap(description.promise, 2),
    '',
    'Options',
    ...options,
    '',
    description.examples.length > 1 ? 'Examples' : 'Example',
    ...description.examples.map((line) => `  ${line}`),
    '',
  ].join('\n')
}
