import type { App } from '../../app.ts'
import type { AppBlueprint, Simulable } from '../../app-blueprint.ts'
import { blueprint } from '../../app-blueprint.ts'
import { optionInvalid } from '../../errors.ts'
import type { AnyTopic } from '../../topic.ts'
import type { Personality } from './broker-world.ts'
import type { OutsideModel } from './outside-world.ts'

/** A message the world's producer publishes, repeating it under the same id until it has an answer. */
export interface WorkItem {
  readonly topic: AnyTopic
  readonly data: unknown
  readonly id?: string
  readonly key?: string
  /** What a person puts in its place, should it come to wait for one. Default: they leave it as it is. */
  readonly edited?: unknown
}

/** What is committed, for an invariant to look at. */
export interface Committed {
  all<R = Record<string, unknown>>(sql: string, ...params: (string | number | bigint | null | Uint8Array)[]): R[]
  get<R = Record<string, unknown>>(sql: string, ...params: (string | number | bigint | null | Uint8Array)[]): R | undefined
}

/** The same on PostgreSQL, with `$1`, `$2`, … for the parameters. */
export interface CommittedOnPostgres {
  all<R = Record<string, unknown>>(sql: string, ...params: unknown[]): Promise<R[]>
  get<R = Record<string, unknown>>(sql: string, ...params: unknown[]): Promise<R | undefined>
}

/** Answers with what is wrong, in one sentence, or with false; anything else when nothing is. What it throws is wrong as well. */
export type Invariant = (state: Committed) => unknown
/** The same on PostgreSQL; a promise is awaited. */
export type InvariantOnPostgres = (state: CommittedOnPostgres) => unknown

/** An app, or a function that makes one: called for every life of every simulated process, so that what is in memory dies with it. */
export type Provable = App<never> | App<unknown> | (() => App<never> | App<unknown>)

/** What is to be proved, checked and complete. */
export interface Subject {
  /** The declarations for one more life of a process. */
  readonly make: () => { readonly app: Simulable; readonly blueprint: AppBlueprint }
  /** Each life has a memory of its own. */
  readonly ownMemory: boolean
  readonly workload: readonly WorkItem[]
  readonly setup: ((database: never) => unknown) | undefined
  /** Before every schedule: what lives outside the database begins anew. */
  readonly reset: (() => void) | undefined
  readonly invariants: readonly (readonly [string, Invariant])[]
  readonly outside: Readonly<Record<string, OutsideModel>>
  readonly honoursTokens: boolean
  readonly workers: number
  readonly compare: boolean
  readonly everyCommit: boolean
  /** What messages travel by; undefined: the database itself. */
  readonly broker: Personality | undefined
}

export function blueprintOf(app: unknown): AppBlueprint {
  const found = (app as Partial<Simulable> | null | undefined)?.[blueprint]
  if (found === undefined) throw optionInvalid('app', app, 'what onefold({ … }) returned, or a function that returns it')
  return found
}
