/** `npm run torture` as a test runs it, in a folder of its own for temporary files, so that what is left over is seen. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { documentOf } from '../../torture/report.ts'
import { temporaryFolder } from './torture-process.ts'

const program = fileURLToPath(new URL('../../torture/main.ts', import.meta.url))

export type TortureDocument = ReturnType<typeof documentOf>

export interface TortureRun {
  readonly code: number
  readonly document: TortureDocument
  readonly stderr: string
}

export function startTorture(folder: string, ...args: readonly string[]): ChildProcess {
  const { NODE_OPTIONS: _, ...environment } = process.env
  // A database server runs as another user where this is root, and must get at its own folder.
  chmodSync(folder, 0o711)
  return spawn(process.execPath, [program, '--json', ...args], { env: { ...environment, TMPDIR: folder } })
}

export async function torture(...args: readonly string[]): Promise<TortureRun> {
  const command = startTorture(temporaryFolder(), ...args)
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) command[name]?.on('data', (chunk) => (said[name] += chunk))
  const [code] = (await once(command, 'close')) as [number]
  expect(said.stdout, said.stderr).not.toBe('')
  return { code, document: JSON.parse(said.stdout) as TortureDocument, stderr: said.stderr }
}

/** Nothing lost, nothing twice, order per key kept, no outcome left unknown, and something was there to be judged. */
export function expectClean({ code, document, stderr }: TortureRun): void {
  const { lost, appliedTwice, keyOrderViolations, unknownUnresolved, otherViolations, otherwise } = document
  expect(otherwise).toEqual([])
  expect({ lost, appliedTwice, keyOrderViolations, unknownUnresolved, otherViolations }).toEqual({
    lost: 0,
    appliedTwice: 0,
    keyOrderViolations: 0,
    unknownUnresolved: 0,
    otherViolations: 0,
  })
  expect(code, stderr).toBe(0)
  expect(document.messages).toBeGreaterThan(100)
  expect(document.acknowledged).toBeGreaterThanOrEqual(document.messages)
  expect(document.charges).toBeGreaterThan(10)
}
