import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Runtime } from '../runtime.ts'

/** What the attention list keeps of an error's message. The end of what a program says matters most. */
const maxMessageChars = 2048
/** How long to wait for the last words on stderr when something the command left behind keeps it open. */
const lastWordsMs = 250

/** The command said no: the message was not applied, and this attempt failed. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
  /** EXIT_7, SIGKILL, TIMEOUT: failures are told apart by it. */
  readonly code: string

  constructor(code: string, why: string, stderr: string) {
    const room = maxMessageChars - why.length - 2
    super(stderr === '' ? why : `${why}: ${stderr.slice(-room)}`)
    this.code = code
    // Where this program was when another one failed tells nothing.
    this.stack = `${this.name}: ${this.message}`
  }
}

export interface CommandRun {
  /** Handed to the command on stdin. */
  readonly input: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where its stdout goes: ours, or our stderr. */
  readonly stdout: 'stdout' | 'stderr'
  /** Its stderr, as it comes. */
  readonly onStderr: (chunk: Uint8Array) => void
  /** After this time the command and what it has started are killed. */
  readonly timeoutMs: number
  /** When aborted, they are killed as well. */
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

  /** Resolves when the command ended with exit code 0. @throws CommandFailed with the end of its stderr. */
  async run(run: CommandRun): Promise<void> {
    if (run.signal.aborted) throw new CommandFailed('NOT_STARTED', 'not started: the attempt was over', '')
    const child = spawn('/bin/sh', ['-c', this.#command], {
      detached: true,
      env: { ...run.environment },
      stdio: ['pipe', run.stdout === 'stdout' ? 'inherit' : 2, 'pipe'],
    })
    const ended = outcomeOf(child)
    const errors = new LastBytes(maxMessageChars)
    const { pid, stdin, stderr } = child
    // Too many open files: there is not even a pipe.
    if (!stdin || !stderr) throw new CommandFailed('NOT_STARTED', (await ended)?.why ?? '', '')
    const silent = new Promise<void>((resolve) => stderr.once('close', resolve))
    stderr.on('data', (chunk: Uint8Array) => {
      errors.push(chunk)
      run.onStderr(chunk)
    })
    // A command need not read its input; what it does not read is no error.
    stdin.on('error', () => {})
    stdin.end(run.input)

    let late = false
    const kill = () => killGroup(pid)
    const timer = this.#runtime.after(run.timeoutMs, () => {
      late = true
      kill()
    })
    if (pid !== undefined) this.#running.add(pid)
    run.signal.addEventListener('abort', kill, { once: true })
    try {
      const outcome = await ended
      const patience = new AbortController()
      await Promise.race([silent, this.#runtime.sleep(lastWordsMs, patience.signal)])
      patience.abort()
      if (outcome === undefined) return
      if (!late) throw new CommandFailed(outcome.code, outcome.why, errors.text)
      throw new CommandFailed('TIMEOUT', `the command ran longer than ${run.timeoutMs} ms and was killed`, errors.text)
    } finally {
      timer[Symbol.dispose]()
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

interface Failure {
  readonly code: string
  readonly why: string
}

/** Undefined when it did not fail. */
function outcomeOf(child: ChildProcess): Promise<Failure | undefined> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 'NOT_STARTED', why: `the command could not be started: ${error.message}` }))
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(undefined)
      else if (signal === null) resolve({ code: `EXIT_${code}`, why: `the command ended with exit code ${code}` })
      else resolve({ code: signal, why: `the command was ended by ${signal}` })
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
