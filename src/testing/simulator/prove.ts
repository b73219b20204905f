import type { DatabaseSync } from 'node:sqlite'
import type { Simulable } from '../../app-blueprint.ts'
import { isPgPool } from '../../database/postgres/pg-client.ts'
import { PostgresDatabase } from '../../database/postgres/postgres-database.ts'
import { OnefoldError, optionInvalid } from '../../errors.ts'
import type { BrokerCard } from '../../guarantee/card.ts'
import { nodeRuntime } from '../../runtime/node-runtime.ts'
import { replaceGlobals } from '../../runtime/replaced-globals.ts'
import type { Personality } from './broker-world.ts'
import { Decisions, deviationsOf, vectorOf } from './decisions.ts'
import type { Coverage, Exploration } from './explore.ts'
import { Explorer, explore } from './explore.ts'
import type { OutsideModel } from './outside-world.ts'
import { placeOf } from './place-of.ts'
import type { Declared } from './postgres-world.ts'
import { PostgresWorld } from './postgres-world.ts'
import type { Certificate, ProofFailure } from './proof.ts'
import { renderCertificate, renderFailure } from './report.ts'
import type { ScheduleResult } from './schedule.ts'
import type { PgLibrary } from './scratch-database.ts'
import { replacePool } from './simulated-pool.ts'
import { SqliteWorld } from './sqlite-world.ts'
import type { Invariant, InvariantOnPostgres, Provable, Subject, WorkItem } from './subject.ts'
import { blueprintOf } from './subject.ts'
import { surroundings } from './surroundings.ts'
import { hearRejections } from './unhandled-rejections.ts'
import type { Moment } from './world.ts'
import type { WorldDatabase } from './world-database.ts'

export interface ProveOptions {
  /** What is published, in this order, each under its id until it has an answer. 1 to 100; repeats and what is refused belong in it. */
  readonly workload: readonly WorkItem[]
  /** Makes the handlers' own tables, in an empty SQLite database. Runs once. */
  readonly setup?: (database: DatabaseSync) => void
  /** Before every schedule: what the handlers use that is neither in the database nor a declared call begins anew. */
  readonly reset?: () => void
  /** What must be true when all is quiet, by a name that says it: 'no account is overdrawn'. */
  readonly invariants?: Readonly<Record<string, Invariant>>
  /** What the other side of a declared call answers, by the call's name. Default: `{ id }`, the same for the same token. */
  readonly outside?: Readonly<Record<string, OutsideModel>>
  /** False: the other side acts again for a token it knows. Default true. */
  readonly honoursTokens?: boolean
  /** Every placement of up to so many faults is tried before random ones: 0 to 4, default 2. */
  readonly deviations?: number
  /** How long to look, in ms: 100 to 1 day, default 10,000. */
  readonly budgetMs?: number
  /** Default: as many as the budget allows. */
  readonly maxSchedules?: number
  /** Of the random schedules. Default 1. */
  readonly seed?: number
  /** Worker processes: 1 to 4, default 2. */
  readonly workers?: number
  /**
   * What messages travel by: 'in-database', 'log', 'log with duplicates' or 'queue'. Default: the database where the app names no
   * broker, else what is worst of what that broker's card admits.
   */
  readonly broker?: 'in-database' | Personality
  /** False: the end is not compared with that of a run without faults. Default true. */
  readonly compare?: boolean
  /** Also commits that only keep house (leases, membership, declarations) may fail. Default false. */
  readonly everyCommit?: boolean
  /** Only for an app whose database is `postgres(pool)`. */
  readonly postgres?: undefined
  /** Runs this one schedule, as a violation printed it. */
  readonly replay?: string
  /** Ends it before the budget is used: the certificate is then of what was tried by then. */
  readonly signal?: AbortSignal
  /** Told about every 50 ms. */
  readonly onProgress?: (schedules: number) => void
}

/** A client of `pg` that is connected to the database of the proof. */
export interface SetupClient {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: Record<string, unknown>[] }>
}

/** Of an app whose database is `postgres(pool)`. */
export interface ProveOnPostgresOptions extends Omit<ProveOptions, 'setup' | 'invariants' | 'postgres'> {
  /**
   * A PostgreSQL server for tests, as `postgres://user@host:5432/database`; the role may create databases. The proof runs in a
   * database of its own there, touches no other, and drops it.
   */
  readonly postgres: string
  /** Makes the handlers' own tables, in an empty database. Runs once. */
  setup?(client: SetupClient): unknown
  /** What must be true when all is quiet, by a name that says it: 'no account is overdrawn'. */
  readonly invariants?: Readonly<Record<string, InvariantOnPostgres>>
}

/** The proof failed: `failure` says how, and the message is for people. */
export class ProofFailed extends Error {
  override name = 'ProofFailed'
  readonly failure: ProofFailure

  constructor(failure: ProofFailure) {
    super(failure.text)
    this.failure = failure
  }
}

/**
 * Runs an app's handlers over the real core and real SQL in simulated processes, and stops the world wherever a crash, a frozen
 * process, a lost answer or a repeat can hurt: first every placement of up to `deviations` faults, then random ones, until the
 * budget is used. The answer is a certificate with its bounds, never a proof for all schedules.
 *
 * Nothing is opened or sent: the app's database and broker are replaced, and so is the other side of its declared calls. An app
 * whose database is `postgres(pool)` is proved on a real server, which the option `postgres` names.
 *
 * @throws ProofFailed with the smallest schedule found that breaks a rule.
 * @throws OnefoldError `OPTION_INVALID` naming the option; `NOT_POSSIBLE` (`SimulationEscape`) where a handler reaches outside.
 * @example
 * await prove(() => makeApp(), { workload: [{ topic: payments, data: { id: 'p1', account: 'a', amount: 5 } }], setup: (db) => db.exec(schema) })
 */
export function prove(app: Provable, options: ProveOptions): Promise<Certificate>
export function prove(app: Provable, options: ProveOnPostgresOptions): Promise<Certificate>
export async function prove(app: Provable, options: ProveOptions | ProveOnPostgresOptions): Promise<Certificate> {
  const { subject, declared } = subjectOf(app, options)
  const server = serverOf(options, declared)
  const bounded = {
    deviations: whole('deviations', options.deviations, 2, 0, 4),
    budgetMs: whole('budgetMs', options.budgetMs, 10_000, 100, 24 * 3_600_000),
    maxSchedules: whole('maxSchedules', options.maxSchedules, Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER),
    seed: whole('seed', options.seed, 1, 0, Number.MAX_SAFE_INTEGER),
  }
  const replayed = options.replay === undefined ? undefined : deviationsOf(options.replay)
  const database: WorldDatabase =
    server === undefined || declared === undefined
      ? new SqliteWorld(nodeRuntime(), subject.setup as ((database: DatabaseSync) => void) | undefined)
      : await PostgresWorld.make(declared, server, subject.setup)
  const globals = replaceGlobals(surroundings)
  const rejections = hearRejections()
  try {
    if (replayed !== undefined) {
      const explorer = await Explorer.begin(subject, database)
      const result = await explorer.run(Decisions.following(replayed), true)
      const [violation] = result.violations
      if (violation !== undefined) throw new ProofFailed(failureOf(subject, result, violation.rule, 1, replayed.size))
      const { ignored, withoutFaults } = explorer
      const found = { ...noExploration, schedules: 1, ignored, withoutFaults }
      return certificateOf(subject, database, bounded.seed, found, {
        asked: vectorOf(replayed),
        taken: vectorOf(result.deviations),
      })
    }
    const found = await explore({ subject, database, ...bounded, signal: options.signal, onProgress: options.onProgress })
    const { failure } = found
    if (failure !== undefined)
      throw new ProofFailed(failureOf(subject, failure.result, failure.rule, failure.found, failure.shrunkFrom))
    return certificateOf(subject, database, bounded.seed, found)
  } finally {
    rejections[Symbol.dispose]()
    globals[Symbol.dispose]()
    await database.close()
  }
}

interface Asked {
  readonly subject: Subject
  /** What the app's PostgreSQL database was made of; undefined: it has another one. */
  readonly declared: Declared | undefined
}

function subjectOf(app: Provable, options: ProveOptions | ProveOnPostgresOptions): Asked {
  const { workload } = options
  if (!Array.isArray(workload) || workload.length === 0 || workload.length > 100)
    throw optionInvalid('workload', workload, 'a list of 1 to 100 messages: { topic, data }')
  for (const [index, item] of workload.entries()) {
    if (typeof item?.topic?.name !== 'string' || !('data' in item))
      throw optionInvalid(`workload[${index}]`, item, '{ topic, data }, where topic is what topic(…) returned')
  }
  const make = (): Simulable => {
    const made = typeof app === 'function' ? app() : app
    const { database } = blueprintOf(made).options
    if (options.postgres !== undefined && database instanceof PostgresDatabase && isPgPool(database.declared.target))
      replacePool(database.declared.target)
    return made as unknown as Simulable
  }
  const first = make()
  if (blueprintOf(first).consumers.length === 0)
    throw optionInvalid('app', 'an app without consumers', 'one that consumes: there is nothing to prove of one that does not')
  const { broker, database } = blueprintOf(first).options
  const subject: Subject = {
    make: () => {
      const made = typeof app === 'function' ? make() : first
      return { app: made, blueprint: blueprintOf(made) }
    },
    ownMemory: typeof app === 'function',
    workload: workload.map((item, index) => ({
      ...item,
      // Without an id of its own a repeat would be another message.
      ...(item.id === undefined && item.topic.id === undefined ? { id: `message-${index + 1}` } : {}),
    })),
    setup: options.setup as Subject['setup'],
    reset: options.reset,
    invariants: Object.entries((options.invariants ?? {}) as Readonly<Record<string, Invariant>>),
    outside: options.outside ?? {},
    honoursTokens: options.honoursTokens ?? true,
    workers: whole('workers', options.workers, 2, 1, 4),
    compare: options.compare ?? true,
    everyCommit: options.everyCommit ?? false,
    broker: personality(options.broker, broker?.card),
  }
  return { subject, declared: database instanceof PostgresDatabase ? database.declared : undefined }
}

/** Where a PostgreSQL app is to be proved. @throws OnefoldError `OPTION_INVALID` naming the option. */
function serverOf({ postgres }: ProveOptions | ProveOnPostgresOptions, declared: Declared | undefined): string | undefined {
  if (declared === undefined) {
    if (postgres === undefined) return undefined
    throw optionInvalid(
      'postgres',
      'a server',
      'left out for an app whose database is not postgres(pool): it is proved on SQLite',
    )
  }
  if (postgres === undefined)
    throw new OnefoldError(
      'OPTION_INVALID',
      "postgres is missing: the app's database is postgres(pool), so its handlers are proved on a real PostgreSQL server. Name one for tests, as `postgres: 'postgres://user@host:5432/database'` or with --postgres: prove makes a database of its own there, and drops it.",
      { details: { option: 'postgres' } },
    )
  if (!isPgPool(declared.target) || typeof (declared.target as Partial<PgLibrary>).Client !== 'function')
    throw new OnefoldError('NOT_POSSIBLE', 'prove runs on a Pool of pg: what goes through postgres.js cannot be simulated yet.', {
      details: { option: 'postgres' },
    })
  return postgres
}

const noExploration: Omit<Exploration, 'withoutFaults'> = {
  schedules: 0,
  exhausted: 0,
  partial: 0,
  random: 0,
  repeated: 0,
  coverage: new Map(),
  ignored: [],
  failure: undefined,
  elapsedMs: 0,
}

const personalities = ['log', 'log with duplicates', 'queue'] as const satisfies readonly Personality[]

function personality(asked: ProveOptions['broker'], card: BrokerCard | undefined): Personality | undefined {
  if (asked === 'in-database') return undefined
  if (asked !== undefined) {
    if (personalities.includes(asked)) return asked
    throw optionInvalid('broker', asked, `'in-database' or one of ${personalities.map((name) => `'${name}'`).join(', ')}`)
  }
  if (card === undefined) return undefined
  if (!card.claims['gives offsets']) return 'queue'
  return card.claims['may hold duplicates'] ? 'log with duplicates' : 'log'
}

function certificateOf(
  subject: Subject,
  database: WorldDatabase,
  seed: number,
  found: Exploration,
  replayed?: Certificate['replayed'],
): Certificate {
  const calls = subject.make().blueprint.consumers.some(({ options }) => Object.keys(options.calls ?? {}).length > 0)
  const perSecond = Math.round((found.schedules / Math.max(1, found.elapsedMs)) * 10_000) / 10
  const { engine, resetMs } = database
  const sqlite = resetMs === undefined
  const certificate = {
    database: engine,
    schedulesPerSecond: perSecond,
    schedules: found.schedules,
    exhaustedDeviations: found.exhausted,
    partialSchedules: found.partial,
    randomSchedules: found.random,
    repeatedSchedules: found.repeated,
    seed,
    replayed,
    workers: subject.workers,
    elapsedMs: Math.round(found.elapsedMs),
    withoutFaults: found.withoutFaults,
    coverage: Object.fromEntries([...(found.coverage satisfies Coverage)].sort(([a], [b]) => (a < b ? -1 : 1))),
    checked: [
      "Onefold's checkers (docs/checkers.md)",
      ...subject.invariants.map(([name]) => `invariant: ${name}`),
      ...(subject.compare ? ['the end is that of a run without faults: tables, messages, attention, calls made'] : []),
    ],
    notCompared: found.ignored,
    simulated: [
      'the consume loop, inbox, log, leases, parking, calls and attention as they are shipped',
      sqlite
        ? "the handlers' SQL on real SQLite in memory"
        : `the handlers' SQL on a real ${engine}, in a database of its own that was emptied before every schedule (${Math.round(resetMs)} ms each): ${perSecond} schedules a second`,
      'processes that are killed, frozen, told to stop, or ended by a handler of theirs; clocks, timers, commits, reads and their answers',
      'a producer that repeats, publishes many at once, or publishes in transactions of its own',
      'a person who settles what is unknown, and has attempted again what waits for one',
      ...(subject.broker === undefined ? [] : [`a broker that behaves as a ${subject.broker}`]),
      ...(calls ? ['the other side of every declared call, which also refuses'] : []),
    ],
    notSimulated: [
      sqlite
        ? 'the disk, the WAL and group commit (npm run torture does, on real processes)'
        : 'the disk and the WAL; more than two transactions open at a time, and every order in which statements of two can take turns',
      'two versions of the program at the same time',
      ...(subject.ownMemory
        ? []
        : ['memory that dies with a process: every life shares the module; give prove a function that makes the app']),
      ...(subject.broker === undefined ? [] : ['the broker itself: messages travelled by a model of one']),
    ],
  }
  return { ...certificate, text: renderCertificate(certificate) }
}

function failureOf(subject: Subject, result: ScheduleResult, rule: string, schedules: number, shrunkFrom: number): ProofFailure {
  const violation = result.violations.find((one) => one.rule === rule) ?? result.violations[0]
  const failure = {
    rule,
    what: violation?.what ?? 'It cannot be repeated: the handler depends on something outside the schedule.',
    faults: result.trail.flatMap(({ at, options, chosen }) => (chosen === 0 ? [] : [`${at} · ${options[chosen]}`])),
    vector: vectorOf(result.deviations),
    story: result.story,
    notRun: handlersNotRun(subject, result.story),
    schedules,
    shrunkFrom,
  }
  return { ...failure, text: renderFailure(failure) }
}

/** A message that is lost may never have come to its handler: that says which it is. */
function handlersNotRun(subject: Subject, story: readonly Moment[]): string[] {
  return subject.make().blueprint.consumers.flatMap(({ topic, options, declared }) => {
    const name = `the handler of ${topic.name}/${options.group}`
    if (story.some(({ what }) => what.includes(name))) return []
    const place = placeOf(declared)
    return [place === undefined ? name : `${name} (${place})`]
  })
}

function whole(option: string, value: number | undefined, fallback: number, min: number, max: number): number {
  if (value === undefined) return fallback
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw optionInvalid(option, value, `a whole number from ${min} to ${max}`)
  return value
}
