import { parseArgs } from 'node:util'
import type { EngineName } from '../test/support/engine-access.ts'
import type { Synchronous } from './engine.ts'
import type { FaultKind } from './fault-kinds.ts'
import { faultKinds } from './fault-kinds.ts'

export interface Settings {
  readonly engine: EngineName
  /** Undefined: until `faults` are done. */
  readonly minutes: number | undefined
  readonly faults: number | undefined
  readonly seed: number
  readonly synchronous: Synchronous
  readonly json: boolean
  readonly only: readonly FaultKind[]
}

export class UsageError extends Error {}

export const usage = `npm run torture -- --engine E [options]

Real faults on real processes over one database, then an audit of what became of every message.

  --engine E         sqlite (default), or postgres: a server of its own, started and removed by the run
  --minutes N        stops injecting after so long, 0.1 to 10,080
  --faults N         stops injecting after so many, 1 to 1,000,000 (default 2,000 where --minutes is not given)
  --seed N           the same seed draws the same faults; when they hit is up to the machine (default: from the clock)
  --synchronous S    FULL (default) or NORMAL, which loses what was acknowledged: the consumers are then at-least-once
  --only K,K         only these kinds
                     sqlite: ${faultKinds.sqlite.join(', ')}
                     postgres: ${faultKinds.postgres.join(', ')}
  --json             one JSON document on stdout, nothing else there
  --help

Exit code: 0 no violation; 1 a violation, or no fault was injected; 2 wrong options; 130 interrupted.
`

/** @throws UsageError naming the option, what it was and what it may be. */
export function parseSettings(args: readonly string[]): Settings | 'help' {
  const values = parse(args)
  if (values.help === true) return 'help'
  const engine = oneOf('engine', values.engine ?? 'sqlite', ['sqlite', 'postgres'])
  const kinds = faultKinds[engine]
  const minutes = number('minutes', values.minutes, { min: 0.1, max: 10_080, whole: false })
  return {
    engine,
    minutes,
    faults:
      number('faults', values.faults, { min: 1, max: 1_000_000, whole: true }) ?? (minutes === undefined ? 2_000 : undefined),
    seed: number('seed', values.seed, { min: 0, max: Number.MAX_SAFE_INTEGER, whole: true }) ?? Date.now() % 1_000_000,
    synchronous: oneOf('synchronous', values.synchronous ?? 'FULL', ['FULL', 'NORMAL']),
    json: values.json === true,
    only: values.only === undefined ? kinds : values.only.split(',').map((kind) => oneOf('only', kind, kinds)),
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        engine: { type: 'string' },
        minutes: { type: 'string' },
        faults: { type: 'string' },
        seed: { type: 'string' },
        synchronous: { type: 'string' },
        only: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function number(
  option: string,
  text: string | undefined,
  { min, max, whole }: { readonly min: number; readonly max: number; readonly whole: boolean },
): number | undefined {
  if (text === undefined) return undefined
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (!(value >= min && value <= max) || (whole && !Number.isSafeInteger(value)))
    throw new UsageError(`--${option} is "${text}"; it must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}`)
  return value
}

function oneOf<T extends string>(option: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === text)
  if (found === undefined) throw new UsageError(`--${option} is "${text}"; it must be ${allowed.join(' or ')}`)
  return found
}
