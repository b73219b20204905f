import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { join } from 'node:path'

/** A script of this folder as a process of its own, told by its command line and an IPC channel. */
export function startProcess(script: string, config: object): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, script), JSON.stringify(config)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
}

/** Keeps the last lines a process wrote on stderr, for the report of its unexpected end. */
export function lastWords(child: ChildProcess): () => string {
  let text = ''
  child.stderr?.on('data', (data: Buffer) => {
    text = (text + data.toString()).slice(-4_000)
  })
  return () => text
}
