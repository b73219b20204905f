import { existsSync, writeFileSync } from 'node:fs'
import { dirname, relative, resolve, sep } from 'node:path'
import { format } from 'node:util'
import { OnefoldError, optionInvalid } from '../errors.ts'
import type { Certificate, ProofFailure } from '../testing/simulator/proof.ts'
import type { ProveOptions } from '../testing/simulator/prove.ts'
import { defineCommand } from './command.ts'
import type { AppModule } from './load-app.ts'
import { loadModule } from './load-app.ts'
import { plural, printableLines } from './readable.ts'
import { UsageError } from './usage-error.ts'

export const prove = defineCommand({
  name: 'prove',
  summary: 'tries crashes, lost answers and repeats at every place where they could hurt your handlers',
  usage: [
    'prove MODULE [--budget 10s] [--deviations 2] [--seed N]',
    'prove MODULE --replay VECTOR',
    'prove MODULE --write-test FILE',
    'prove MODULE --postgres URL',
  ],
  description: [
    'MODULE is a JavaScript or TypeScript file whose default export is the app, or a function that makes one: with a function, what ' +
      'a handler keeps in memory dies with its simulated process. It also exports `workload`, the messages to publish, and may ' +
      'export `setup`, `reset`, `invariants`, `outside` and `honoursTokens`.',
    'The handlers run over the real core and real SQL in simulated processes. First every placement of up to --deviations faults is ' +
      'tried, then random ones, until --budget is used. The result is a certificate with its bounds (exit code 0), or the smallest ' +
      'schedule found that breaks a rule, told step by step (exit code 1).',
    'An app whose database is postgres(pool) is proved on a real PostgreSQL server, in a database of its own that is made there and ' +
      'dropped afterwards. `setup` then gets a client of pg that is connected to it.',
    'What handlers print is not shown, except, on stderr, what they print in the schedule that breaks a rule or is replayed.',
  ],
  promise:
    'Nothing is opened or sent but what --postgres names: database and broker are replaced, and so is the other side of declared ' +
    'calls. A certificate speaks of the schedules that were tried, and of no others.',
  options: {
    budget: { kind: 'text', value: 'TIME', help: 'how long to look: 500ms, 10s, 2m', otherwise: '10s' },
    deviations: {
      kind: 'integer',
      min: 0,
      max: 4,
      help: 'every placement of up to so many faults comes before random ones',
      otherwise: '2',
    },
    seed: { kind: 'integer', min: 0, max: Number.MAX_SAFE_INTEGER, help: 'of the random schedules', otherwise: '1' },
    replay: { kind: 'text', value: 'VECTOR', mayBeEmpty: true, help: 'run this one schedule, as a violation printed it' },
    postgres: {
      kind: 'text',
      value: 'URL',
      help: 'a server for tests, for an app on PostgreSQL; the role may create databases',
    },
    'write-test': {
      kind: 'text',
      value: 'FILE',
      help: 'with a violation, write a vitest test that replays it; never over a file',
    },
  },
  examples: ['onefold prove app.ts', 'onefold prove app.ts --budget 2m --deviations 3', "onefold prove app.ts --replay '9:2'"],

  async run({ values, positionals, terminal, stop }) {
    const [module, ...rest] = positionals
    if (module === undefined) throw new UsageError('prove needs a MODULE whose default export is the app')
    if (rest.length > 0) throw new UsageError(`prove takes one MODULE, but got ${JSON.stringify(rest[0])} as well`)
    if (values.db !== undefined) throw new UsageError('--db does not go with prove, which opens no database of yours')
    const { replay, json, seed, deviations, postgres, 'write-test': testFile } = values
    const budgetMs = values.budget === undefined ? undefined : milliseconds(values.budget)
    const [simulator, { deviationsOf }] = await Promise.all([
      import('../testing/simulator/prove.ts'),
      import('../testing/simulator/decisions.ts'),
    ])
    if (replay !== undefined) {
      for (const option of ['budget', 'deviations', 'seed'] as const)
        if (values[option] !== undefined) throw new UsageError(`--${option} goes without --replay, which runs one schedule`)
      try {
        deviationsOf(replay)
      } catch {
        throw new UsageError(`--replay is ${JSON.stringify(replay)}; it must be a vector as a violation prints it: '12:2,31:1'`)
      }
    }
    if (testFile !== undefined && existsSync(testFile)) throw exists(testFile)

    const loaded = await loadModule(module)
    const { app, provable } = loaded
    const exported = exportsOf(module, loaded)
    const printed = new Printed()
    const report = async (ok: boolean, text: string, document: object): Promise<void> => {
      if (!ok || replay !== undefined) for (const line of printed.lines) terminal.note(printableLines(line))
      if (json) await terminal.json({ ok, ...document })
      else await terminal.write(`${printableLines(text)}\n`)
    }
    try {
      const certificate = await printed.during(() =>
        simulator.prove(provable, {
          ...exported,
          ...defined({ replay, seed, deviations, budgetMs, postgres: postgres as undefined }),
          reset() {
            printed.lines.length = 0
            exported.reset?.()
          },
          signal: stop.signal,
          onProgress: (schedules) => terminal.progress(plural(schedules, 'schedule')),
        }),
      )
      terminal.endProgress()
      await report(true, certificate.text, { certificate } satisfies { certificate: Certificate })
      if (testFile !== undefined) terminal.note(`onefold: there was no violation, so ${testFile} is not written`)
      return stop.exitCode
    } catch (error) {
      if (!(error instanceof simulator.ProofFailed)) throw error
      const { failure } = error
      terminal.endProgress()
      await report(false, failure.text, { failure } satisfies { failure: ProofFailure })
      if (testFile !== undefined) {
        writeTest(testFile, module, loaded, failure, postgres)
        terminal.note(`onefold: ${testFile} is written: it fails until this schedule breaks no rule any more`)
      }
      return 1
    } finally {
      // Opened nothing itself; a module that did anyhow is not to keep this process alive.
      await app.stop()
    }
  },
})

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

function milliseconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text)
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * units[match[2] as keyof typeof units])
  if (ms >= 100 && ms <= 24 * units.h) return ms
  throw new UsageError(`--budget is ${JSON.stringify(text)}; it must be a time from 100ms to 24h: 500ms, 10s, 2m`)
}

type Exported = Pick<ProveOptions, 'workload' | 'setup' | 'reset' | 'invariants' | 'outside' | 'honoursTokens'>

const isFunction = (value: unknown): boolean => typeof value === 'function'
const areFunctions = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every(isFunction)

/** What a module may say to prove besides its app. */
const kinds: Readonly<Record<keyof Exported, { readonly fits: (value: unknown) => boolean; readonly expected: string }>> = {
  workload: { fits: Array.isArray, expected: 'a list of messages: { topic, data }' },
  setup: { fits: isFunction, expected: 'a function of a DatabaseSync, or of a client of pg, that makes the tables' },
  reset: { fits: isFunction, expected: 'a function' },
  invariants: { fits: areFunctions, expected: 'an object of functions, by what each of them makes sure of' },
  outside: { fits: areFunctions, expected: "an object of functions, by the call's name" },
  honoursTokens: { fits: (value) => typeof value === 'boolean', expected: 'true or false' },
}
const names = Object.keys(kinds) as (keyof Exported)[]

function exportsOf(module: string, { app, exports }: AppModule): Exported {
  if (exports.workload === undefined) {
    const topic = app.consumers[0]?.topic.name ?? ''
    throw new OnefoldError(
      'OPTION_INVALID',
      `${module} exports no workload, so there is nothing to publish. Write three lines like these:\n\n` +
        `  export const workload = [\n    { topic: ${/^[a-z_$][\w$]*$/i.test(topic) ? topic : 'orders'}, data: { id: '1' } },\n  ]\n`,
      { details: { option: 'workload', file: module } },
    )
  }
  const given = names.filter((name) => exports[name] !== undefined)
  for (const name of given) if (!kinds[name].fits(exports[name])) throw optionInvalid(name, exports[name], kinds[name].expected)
  return Object.fromEntries(given.map((name) => [name, exports[name]])) as unknown as Exported
}

/** What handlers print in thousands of schedules is kept of the last one only: it would hide the result, or break its JSON. */
class Printed {
  readonly lines: string[] = []

  async during<T>(work: () => Promise<T>): Promise<T> {
    const methods = ['debug', 'error', 'info', 'log', 'trace', 'warn'] as const
    const before = Object.fromEntries(methods.map((method) => [method, console[method]]))
    for (const method of methods)
      console[method] = (...words: unknown[]) => {
        if (this.lines.length < 1000) this.lines.push(format(...words))
      }
    try {
      return await work()
    } finally {
      Object.assign(console, before)
    }
  }
}

function exists(file: string): OnefoldError {
  return new OnefoldError('NOT_POSSIBLE', `${file} is there already, and --write-test writes over nothing; name another file.`, {
    details: { option: '--write-test', file },
  })
}

function writeTest(
  file: string,
  module: string,
  { exports }: AppModule,
  failure: ProofFailure,
  postgres: string | undefined,
): void {
  const path = relative(dirname(resolve(file)), resolve(module))
    .split(sep)
    .join('/')
  const given = names.filter((name) => exports[name] !== undefined)
  const told = failure.text.split('\n').filter((line) => !line.startsWith('Replay it with'))
  const text = [
    `import { prove } from 'onefold/testing'`,
    `import { test } from 'vitest'`,
    `import app, { ${given.join(', ')} } from ${quoted(path.startsWith('.') ? path : `./${path}`)}`,
    '',
    '// When this was written:',
    ...told.map((line) => `// ${line}`.trimEnd()),
    '',
    ...(postgres === undefined ? [] : [`const postgres = process.env.TEST_POSTGRES ?? ${quoted(withoutPassword(postgres))}`, '']),
    `test(${quoted(`${path}: ${failure.rule}`)}, async () => {`,
    '  // The schedule itself, not a seed: what a seed draws changes with the code.',
    `  await prove(app, { ${given.join(', ')}, ${postgres === undefined ? '' : 'postgres, '}replay: ${quoted(failure.vector)} })`,
    '})',
    '',
  ].join('\n')
  try {
    writeFileSync(file, printableLines(text), { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw exists(file)
    throw new OnefoldError('NOT_POSSIBLE', `${file} cannot be written: ${(error as Error).message}.`, {
      details: { option: '--write-test', file },
      cause: error,
    })
  }
}

function withoutPassword(url: string): string {
  const parsed = new URL(url)
  parsed.password = ''
  return parsed.href
}

/** As the house style of most: single quotes. */
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

function defined<T extends object>(values: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
