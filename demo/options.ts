import { parseArgs } from 'node:util'
import type { Semantics } from '../src/consume/consume-options.ts'

export type TopologyName = 'in-database' | 'test-broker'

/** postgres: a server of the demo's own. Anything else is the URL of one that is there. */
export type DemoDatabase = 'sqlite' | 'postgres' | `postgres${string}://${string}`

export interface DemoOptions {
  /** Per topology. */
  readonly messages: number
  readonly workers: number
  readonly killEveryMs: number
  readonly duplicates: number
  readonly seed: number
  readonly semantics: Semantics
  readonly topologies: readonly TopologyName[]
  readonly database: DemoDatabase
  readonly json: boolean
  readonly dir: string | undefined
}

export class UsageError extends Error {}

export const usage = `npm run demo -- [options]

  --messages N         messages per topology, 100 to 1,000,000 (default 12,000; two topologies run)
  --workers N          worker processes, 1 to 16 (default 4)
  --kill-every-ms N    a worker is killed at least this often while there is work, 50 to 60,000; 0 never (default 400)
  --duplicates F       share of messages that are published more than once, 0 to 0.9 (default 0.3)
  --seed N             the same seed makes the same messages and the same plan of kills (default: from the clock)
  --semantics S        effectively-once (default), at-least-once or at-most-once
  --topology T         in-database, test-broker or both (default)
  --database D         sqlite (default); postgres, for a server of the demo's own; or postgres://user@host/database, where it makes
                       schemas named onefold_demo_… and drops them at the end
  --dir DIR            keep the database files in DIR, or the schemas (default: a temporary folder, all removed at the end)
  --json               one JSON document on stdout, nothing else there
  --help

Exit code: 0 nothing lost, nothing applied twice, order kept and totals right; 1 otherwise; 2 wrong options.
`

const semanticsNames = ['effectively-once', 'at-least-once', 'at-most-once'] as const
const topologyNames = ['in-database', 'test-broker'] as const

/** @throws UsageError naming the option, what it was and what it may be. */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const values = parse(args)
  if (values.help === true) return 'help'
  return {
    messages: number('messages', values.messages, 12_000, { min: 100, max: 1_000_000, whole: true }),
    workers: number('workers', values.workers, 4, { min: 1, max: 16, whole: true }),
    killEveryMs:
      values['kill-every-ms'] === '0'
        ? 0
        : number('kill-every-ms', values['kill-every-ms'], 400, { min: 50, max: 60_000, whole: true }),
    duplicates: number('duplicates', values.duplicates, 0.3, { min: 0, max: 0.9 }),
    seed: number('seed', values.seed, Date.now() % 1_000_000, { min: 0, max: Number.MAX_SAFE_INTEGER, whole: true }),
    semantics: oneOf('semantics', values.semantics ?? 'effectively-once', semanticsNames),
    topologies:
      (values.topology ?? 'both') === 'both' ? topologyNames : [oneOf('topology', values.topology ?? '', topologyNames, 'both')],
    database: database(values.database ?? 'sqlite'),
    json: values.json === true,
    dir: values.dir,
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        messages: text,
        workers: text,
        'kill-every-ms': text,
        duplicates: text,
        seed: text,
        semantics: text,
        topology: text,
        database: text,
        dir: text,
        json: flag,
        help: flag,
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function number(
  name: string,
  text: string | undefined,
  fallback: number,
  bounds: { min: number; max: number; whole?: boolean },
): number {
  if (text === undefined) return fallback
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (!(value >= bounds.min && value <= bounds.max) || (bounds.whole === true && !Number.isSafeInteger(value))) {
    const kind = bounds.whole === true ? 'a whole number' : 'a number'
    const zero = name === 'kill-every-ms' ? '0 (never) or ' : ''
    throw new UsageError(`--${name} is '${text}'; it must be ${zero}${kind} from ${bounds.min} to ${bounds.max}.`)
  }
  return value
}

function database(text: string): DemoDatabase {
  const isUrl = /^postgres(ql)?:\/\/./.test(text) && URL.canParse(text)
  if (text === 'sqlite' || text === 'postgres' || isUrl) return text as DemoDatabase
  throw new UsageError(`--database is '${text}'; it must be sqlite, postgres, or postgres://user@host/database.`)
}

function oneOf<Name extends string>(option: string, value: string, names: readonly Name[], ...more: string[]): Name {
  const found = names.find((name) => name === value)
  if (found === undefined) throw new UsageError(`--${option} is '${value}'; it must be one of ${[...names, ...more].join(', ')}.`)
  return found
}
