import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

export const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Dozens of short processes run the same files: compiled once, each starts in a fifth of the time. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  readonly input?: string | Uint8Array | undefined
  readonly env?: Record<string, string>
}

const folders: string[] = []
const running = new Set<Running>()

afterAll(async () => {
  for (const each of running) each.child.kill('SIGKILL')
  await Promise.all([...running].map((each) => each.ended))
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A folder of its own, and the command line run in it as a child process, as a user would. */
export class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'onefold-cli-'))

  constructor() {
    folders.push(this.folder)
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  has(name: string): boolean {
    return existsSync(this.path(name))
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content)
    return name
  }

  lines(name: string, values: readonly unknown[]): string {
    return this.write(name, values.map((value) => `${JSON.stringify(value)}\n`).join(''))
  }

  /** Runs to its end. Words are given as one text where none has a space in it. */
  onefold(words: string | readonly string[], options: RunOptions = {}): Promise<Ended> {
    return this.start(words, options).ended
  }

  /** As `onefold --json`, with the one document that must be all of stdout. */
  async json(words: string | readonly string[], options: RunOptions = {}): Promise<Ended & { readonly document: Json }> {
    const ended = await this.onefold([...split(words), '--json'], options)
    if (!ended.stdout.endsWith('\n')) throw new Error(`no document on stdout: ${JSON.stringify(ended)}`)
    return { ...ended, document: JSON.parse(ended.stdout) as Json }
  }

  start(words: string | readonly string[], options: RunOptions = {}): Running {
    return this.run(process.execPath, [program, ...split(words)], options)
  }

  /** `onefold` in a line of shell is the program under test. */
  shell(line: string, options: RunOptions = {}): Running {
    return this.run('/bin/bash', ['-c', `onefold() { '${process.execPath}' '${program}' "$@"; }\n${line}`], options)
  }

  run(file: string, args: readonly string[], options: RunOptions = {}): Running {
    const { ONEFOLD_DB: _, ...environment } = process.env
    const child = spawn(file, args, {
      cwd: this.folder,
      env: { ...environment, NODE_COMPILE_CACHE: compileCache, ...options.env },
    })
    return new Running(child, options.input)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: documents are compared, not typed
export type Json = any

export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''

  constructor(child: ChildProcess, input: string | Uint8Array | undefined) {
    this.child = child
    running.add(this)
    child.stdout?.on('data', (chunk) => {
      this.stdout += chunk
    })
    child.stderr?.on('data', (chunk) => {
      this.stderr += chunk
    })
    child.stdin?.on('error', () => {})
    if (input !== undefined) child.stdin?.end(input)
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        running.delete(this)
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
      })
    })
  }

  /** Waits until `condition` holds for what has been printed so far, or fails with what was there instead. */
  async until(condition: () => boolean, what: string): Promise<void> {
    await until(condition, () => `${what}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`)
  }
}

/** Looks until `condition` holds; fails after `boundMs`. */
export async function until(condition: () => boolean | Promise<boolean>, what: () => string, boundMs = 8000): Promise<void> {
  const end = performance.now() + boundMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${boundMs} ms in vain: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function split(words: string | readonly string[]): readonly string[] {
  return typeof words === 'string' ? words.split(' ').filter((word) => word !== '') : words
}
