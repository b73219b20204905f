/** What is done to the processes, their system calls, their clocks and their disk. docs/torture.md says it in full. */
export const faultKinds = [
  'kill',
  'kill-at-point',
  'kill-at-system-call',
  'freeze',
  'freeze-in-transaction',
  'system-call-error',
  'full-disk',
  'power-cut',
  'clock-jump',
] as const

export type FaultKind = (typeof faultKinds)[number]

/** One sentence each, for the report. */
export const whatItIs: Readonly<Record<FaultKind, string>> = {
  kill: 'SIGKILL at a random moment',
  'kill-at-point': 'SIGKILL at a named step of the code',
  'kill-at-system-call': 'SIGKILL at the n-th fsync, pwrite or write from a random moment on',
  freeze: 'SIGSTOP past the lease, outside a transaction or at a random moment, then SIGCONT',
  'freeze-in-transaction': 'SIGSTOP past the lease while the write lock is held, then SIGCONT',
  'system-call-error': 'EIO or ENOSPC from the n-th fsync or pwrite, one to three times',
  'full-disk': 'no space left for a while',
  'power-cut': 'the file system forgets what was not flushed, and everything on it dies',
  'clock-jump': 'the clocks of one process jump, the wall clock in either direction',
}

/** Shares of a run in which nothing is skipped. */
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
}

export interface Fault {
  readonly kind: FaultKind
  /** Which of the places that a kind can hit: a point, a system call, 'any time'. */
  readonly where: string
}
