import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Hundreds of short processes run the same files: compiled once, each starts in a third of the time. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url))

const running = new Set<Worker>()

/** Ends every worker that this process has started and that still runs; resolves when they are gone. */
export async function endWorkers(): Promise<void> {
  for (const worker of running) worker.kill('SIGKILL')
  await Promise.all([...running].map((worker) => worker.ended))
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface StartOptions {
  /** Given to Node before the program. */
  readonly nodeOptions?: readonly string[]
  /** A program that runs Node, with its own arguments. */
  readonly under?: readonly string[]
  /** Told of every line on stdout as it comes, before `ended`. */
  readonly onLine?: (line: string) => void
}

/** A worker process, with what it has said so far. Only ever ended by its own pid. */
export class Worker {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  readonly lines: string[] = []
  stderr = ''
  #rest = ''

  constructor(program: string, config: unknown, options: StartOptions = {}) {
    const node = [process.execPath, ...(options.nodeOptions ?? []), program, JSON.stringify(config)]
    const [file = '', ...args] = [...(options.under ?? []), ...node]
    const { NODE_OPTIONS: _, ...environment } = process.env
    this.child = spawn(file, args, { env: { ...environment, NODE_COMPILE_CACHE: compileCache } })
    running.add(this)
    this.child.stdin?.on('error', () => {})
    this.child.stdout?.on('data', (chunk) => {
      const parts = `${this.#rest}${chunk}`.split('\n')
      this.#rest = parts.pop() ?? ''
      this.lines.push(...parts)
      if (options.onLine !== undefined) parts.forEach(options.onLine)
    })
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += chunk
    })
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        running.delete(this)
        resolve({ code, signal })
      })
    })
  }

  get pid(): number {
    return this.child.pid ?? -1
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Has it said a line that begins so? */
  said(beginning: string): string | undefined {
    return this.lines.find((line) => line.startsWith(beginning))
  }

  /** Waits until it has said so; fails when it ends before, or after `boundMs`. */
  async until(beginning: string, boundMs = 20_000): Promise<string> {
    let over = false
    void this.ended.then(() => {
      over = true
    })
    await until(
      () => over || this.said(beginning) !== undefined,
      () => `"${beginning}" of ${this.story()}`,
      boundMs,
    )
    const line = this.said(beginning)
    if (line === undefined) throw new Error(`ended without "${beginning}": ${this.story()}`)
    return line
  }

  /** Waits for its end; after `boundMs` it is killed and the wait fails. */
  async end(boundMs = 30_000): Promise<Ended> {
    const ended = await this.endOrKill(boundMs)
    if (ended.late) throw new Error(`did not end within ${boundMs} ms: ${this.story()}`)
    return ended
  }

  /** Waits for its end; after `boundMs` it is killed: `late`. */
  async endOrKill(boundMs: number): Promise<Ended & { readonly late: boolean }> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.kill('SIGKILL')
    }, boundMs)
    const ended = await this.ended
    clearTimeout(timer)
    return { ...ended, late }
  }

  /** Tells one that waits to go on. */
  go(): void {
    this.tell('go')
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`)
  }

  /** Asks one that stays to stop, and waits for it. */
  async stop(): Promise<Ended> {
    this.child.stdin?.end('stop\n')
    return this.end()
  }

  /** The kernel's word for it: 'T' while stopped by a signal. */
  get state(): string {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
  }

  story(): string {
    return `process ${this.pid}\nstdout: ${this.lines.join('\n')}\nstderr: ${this.stderr}`
  }
}

/** Looks until `condition` holds; fails after `boundMs`. */
export async function until(condition: () => boolean | Promise<boolean>, what: () => string, boundMs = 20_000): Promise<void> {
  const end = performance.now() + boundMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${boundMs} ms in vain: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
