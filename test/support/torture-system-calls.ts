import { spawnSync } from 'node:child_process'

/** What strace does to the n-th call of one kind (sync: fsync or fdatasync, whichever this build of SQLite uses), in the thread that makes it: https://strace.io */
export interface Injection {
  readonly call: 'sync' | 'pwrite64' | 'write'
  readonly first: number
  readonly last?: number
  readonly effect: 'signal=SIGKILL' | 'error=EIO' | 'error=ENOSPC'
}

/**
 * The command that runs another one with the injection. With -D the tracer is the grandchild: the process we start, and may
 * have to kill, is the worker itself.
 */
export function injecting(injection: Injection): string[] {
  return ['strace', '-D', '-f', '-qq', '-o', '/dev/null', ...expressions(injection)]
}

/** The arguments that make strace do so to a process that runs already, counting from now, and write down what it did. */
export function attaching(pid: number, log: string, injection: Injection): string[] {
  return ['-f', '-o', log, '-p', `${pid}`, ...expressions(injection)]
}

function expressions({ call, first, last = first, effect }: Injection): string[] {
  const calls = call === 'sync' ? 'fsync,fdatasync' : call
  return ['-e', `trace=${calls}`, '-e', `inject=${calls}:${effect}:when=${first}..${last}`]
}

/** Why system calls cannot be interfered with here, or undefined when they can. */
export function whyNoStrace(): string | undefined {
  const { error, status, stderr } = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true'], { encoding: 'utf8' })
  if (error !== undefined) return 'strace is not installed'
  return status === 0 ? undefined : `strace cannot trace here: ${stderr.trim()}`
}
