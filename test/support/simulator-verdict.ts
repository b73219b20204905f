import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Search, Verdict } from './simulator-judge.ts'

/** After its own budget a child gets so long to start and to make a schedule small; then it hangs. */
const graceMs = 8_000

/** What the simulator in `folder` says of the source in `folder`; 'hangs' when its process had to be killed. */
export async function verdictOn(folder: string, search: Search): Promise<Verdict | 'hangs'> {
  const child = spawn(process.execPath, [join(folder, 'test/support/simulator-judge.ts'), JSON.stringify(search)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let complaint = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  let hangs = false
  // A mutant may loop without ever giving its process a turn.
  const timer = setTimeout(() => {
    hangs = true
    child.kill('SIGKILL')
  }, search.budgetMs + graceMs)
  await new Promise<void>((resolve) => child.once('close', () => resolve()))
  clearTimeout(timer)
  if (hangs) return 'hangs'
  const [line] = said.split('\n')
  if (line === undefined || line === '') throw new Error(`the judge in ${folder} said nothing: ${complaint.slice(-2_000)}`)
  return JSON.parse(line) as Verdict
}
