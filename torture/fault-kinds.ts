/** What is done to the processes, their system calls, their clocks, their disk, and their database server. docs/torture.md says it in full. */
import type { EngineName } from '../test/support/engine-access.ts'

const ofProcesses = ['kill', 'kill-at-point', 'freeze', 'freeze-in-transaction', 'clock-jump'] as const
const ofSystemCalls = ['kill-at-system-call', 'system-call-error'] as const
const ofDisks = ['full-disk', 'power-cut'] as const
const ofServers = ['server-crash', 'backend-ended', 'cut-at-commit', 'cut-anywhere'] as const

/** What is done to one worker process alone. */
export type WorkerFaultKind = (typeof ofProcesses)[number] | (typeof ofSystemCalls)[number]
/** What is done to the database that the workers share. */
export type SharedFaultKind = (typeof ofDisks)[number] | (typeof ofServers)[number]
export type FaultKind = WorkerFaultKind | SharedFaultKind

/** By engine: a worker on a database file makes the system calls itself, and its disk is ours; a server's are its own business. */
export const faultKinds: Readonly<Record<EngineName, readonly FaultKind[]>> = {
  sqlite: [...ofProcesses, ...ofSystemCalls, ...ofDisks],
  postgres: [...ofProcesses, ...ofServers],
}

/** One sentence each, for the report. */
export const whatItIs: Readonly<Record<FaultKind, string>> = {
  kill: 'SIGKILL at a random moment',
  'kill-at-point': 'SIGKILL at a named step of the code',
  'kill-at-system-call': 'SIGKILL at the n-th fsync, pwrite or write from a random moment on',
  freeze: 'SIGSTOP past the lease, outside a transaction or at a random moment, then SIGCONT',
  'freeze-in-transaction': 'SIGSTOP past the lease inside a transaction, then SIGCONT',
  'system-call-error': 'EIO or ENOSPC from the n-th fsync or pwrite, one to three times',
  'full-disk': 'no space left for a while',
  'power-cut': 'the file system forgets what was not flushed, and everything on it dies',
  'clock-jump': 'the clocks of one process jump, the wall clock in either direction',
  'server-crash': 'immediate shutdown of the database server: what it had not flushed is gone; then it is started again',
  'backend-ended': 'pg_terminate_backend of a random backend of the workers',
  'cut-at-commit': 'the connection is cut as COMMIT passes: never sent, its answer lost, or held back and sent after',
  'cut-anywhere': 'the connection is cut at a random byte, in either direction',
}

/** Shares of a run in which nothing is skipped. Those that an engine has not are left out. */
export const shares: Readonly<Record<FaultKind, number>> = {
  kill: 0.2,
  'kill-at-point': 0.31,
  'kill-at-system-call': 0.1,
  freeze: 0.07,
  'freeze-in-transaction': 0.05,
  'system-call-error': 0.1,
  'full-disk': 0.02,
  'power-cut': 0.07,
  'clock-jump': 0.08,
  'server-crash': 0.07,
  'backend-ended': 0.1,
  'cut-at-commit': 0.4,
  'cut-anywhere': 0.15,
}

export interface Fault {
  readonly kind: FaultKind
  /** Which of the places that a kind can hit: a point, a system call, 'any time'. */
  readonly where: string
}
