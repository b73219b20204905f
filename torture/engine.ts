/** What differs between the engines under torture. Driver, plan, workers, judge and report are the same for all. */
import type { EngineName } from '../test/support/engine-access.ts'
import type { Topology } from '../test/support/torture-workload.ts'
import type { Fault, FaultKind, SharedFaultKind } from './fault-kinds.ts'
import type { Rows } from './history.ts'
import type { Skip } from './machine.ts'
import type { WorkerDatabase } from './worker-database.ts'

/** FULL: an acknowledged commit is on disk. NORMAL: it is not yet. */
export type Synchronous = 'FULL' | 'NORMAL'

export interface Engine {
  readonly name: EngineName
  /** Codes with which `start()` may be refused, or stopping fail, while a fault is on. */
  readonly refusals: readonly string[]
  /** Of the processes that bring all to its end, where it is another than that of those under torture. */
  readonly calmLeaseMs: number | undefined
  /** How long a process is frozen: outside a transaction, and inside one. At least, and at most, in ms. */
  readonly freezeMs: (leaseMs: number) => Readonly<Record<'freeze' | 'freeze-in-transaction', readonly [number, number]>>
  /** What cannot be done on this machine, and why. */
  cannotDo(kinds: readonly FaultKind[]): Promise<Skip[]>
  /** The arenas to be opened, one after the other, for the kinds that can be done. */
  arenas(kinds: readonly FaultKind[]): readonly ArenaPlan[]
  /** After all stores are closed. */
  cleanUp(): Promise<void>
}

export interface ArenaPlan {
  readonly name: string
  readonly topology: Topology
  /** Processes. */
  readonly slots: number
  open(): Promise<Store>
}

/** The database of one arena, with the user's tables in it, and a second one behind a broker where the topology has one. */
export interface Store {
  /** For the workers, which may reach it by a way on which connections break. */
  readonly forWorkers: WorkerDatabase
  /** For the judge. */
  readonly direct: WorkerDatabase
  /** What can be done to it as a whole. */
  readonly faults: Partial<Readonly<Record<SharedFaultKind, SharedFault>>>
  readRows(): Promise<Rows>
  /** One sentence for each thing that is damaged. */
  damage(): Promise<readonly string[]>
  /** Copies what it holds into the folder, for whoever wants to know why. */
  keepEvidence(folder: string): Promise<void>
  /** After all processes have ended. */
  close(): Promise<void>
}

/** Answers the fault that took place, or undefined when none did. */
export type SharedFault = (processes: Processes, random: () => number) => Promise<Fault | undefined>

/** All processes of an arena. */
export interface Processes {
  readonly name: string
  /** Stops all of them wherever they are, has `cut` done, kills them, has `restore` done, and lets new ones start. */
  loseAll(by: FaultKind, cut: () => Promise<void>, restore: () => Promise<void>): Promise<void>
}
