import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Runtime } from '../runtime.ts'

const maxErrorBytes = 2048
/** How long to wait for the last words on stderr when something the command left behind keeps it open. */
const lastWordsMs = 250

/** The command said no: the message was not applied, and this attempt failed. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
}

export interface CommandRun {
  /** Handed to the command on stdin. */
  readonly input: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where its stdout goes: ours, or our stderr. */
  readonly stdout: 'stdout' | 'stderr'
  /** Its stderr, as it comes. */
  readonly onStderr: (chunk: Uint8Array) => void
  /** When aborted, the command and what it has started are killed. */
  readonly signal: AbortSignal
}

/** Commands run by `/bin/sh -c`, each in a process group of its own, so that it can be killed with all it has started. */
export class ShellCommands {
  readonly #command: string
  readonly #runtime: Runtime
  readonly #running = new Set<number>()

  constructor(command: string, runtime: Runtime) {
    this.#command = command
    this.#runtime = runtime
  }

  /** Resolves when the command ended with exit code 0. @throws CommandFailed with the last 2 KiB of its stderr. */
  async run(run: CommandRun): Promise<void> {
    if (run.signal.aborted) throw new CommandFailed('not started: the attempt was over')
    const child = spawn('/bin/sh', ['-c', this.#command], {
      detached: true,
      env: { ...run.environment },
      stdio: ['pipe', run.stdout === 'stdout' ? 'inherit' : 2, 'pipe'],
    })
    const ended = outcomeOf(child)
    const errors = new LastBytes(maxErrorBytes)
    const { pid, stdin, stderr } = child
    // Too many open files: there is not even a pipe.
    if (!stdin || !stderr) throw new CommandFailed(await ended)
    const silent = new Promise<void>((resolve) => stderr.once('close', resolve))
    stderr.on('data', (chunk: Uint8Array) => {
      errors.push(chunk)
      run.onStderr(chunk)
    })
    // A command need not read its input; what it does not read is no error.
    stdin.on('error', () => {})
    stdin.end(run.input)

    const kill = () => killGroup(pid)
    if (pid !== undefined) this.#running.add(pid)
    run.signal.addEventListener('abort', kill, { once: true })
    try {
      const outcome = await ended
      const patience = new AbortController()
      await Promise.race([silent, this.#runtime.sleep(lastWordsMs, patience.signal)])
      patience.abort()
      if (outcome === undefined) return
      const why = run.signal.aborted ? `${outcome} (${reasonOf(run.signal)})` : outcome
      throw new CommandFailed(errors.text === '' ? why : `${why}: ${errors.text}`)
    } finally {
      run.signal.removeEventListener('abort', kill)
      if (pid !== undefined) this.#running.delete(pid)
      stderr.destroy()
      stdin.destroy()
    }
  }

  killAll(): void {
    for (const pid of this.#running) killGroup(pid)
  }
}

/** In words why it failed; undefined when it did not. */
function outcomeOf(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`the command could not be started: ${error.message}`))
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(undefined)
      else resolve(signal === null ? `the command ended with exit code ${code}` : `the command was ended by ${signal}`)
    })
  })
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    // biome-ignore lint/plugin: the group of a command this process has started, which no simulator runs.
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function reasonOf(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : String(signal.reason)
}

class LastBytes {
  readonly #max: number
  #kept = Buffer.alloc(0)

  constructor(max: number) {
    this.#max = max
  }

  push(chunk: Uint8Array): void {
    const all = Buffer.concat([this.#kept, chunk])
    this.#kept = Buffer.from(all.subarray(Math.max(0, all.byteLength - this.#max)))
  }

  get text(): string {
    // The cut may go through a character.
    return this.#kept
      .toString('utf8')
      .replace(/^\ufffd+/, '')
      .trim()
  }
}
