import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Search, Verdict } from './simulator-judge.ts'

/** After its own budget a child gets so long to start and to make a schedule small; then it hangs. */
const graceMs = 8_000
/** A schedule has a bound of steps, so a child that says nothing for so long is in one whose steps do not end. */
const longestSilenceMs = 60_000

/** What the simulator in `folder` says of the source in `folder`; 'hangs' when its process had to be killed. */
export async function verdictOn(folder: string, search: Search): Promise<Verdict | 'hangs'> {
  const child = spawn(process.execPath, [join(folder, 'test/support/simulator-judge.ts'), JSON.stringify(search)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let complaint = ''
  let heardMs = performance.now()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    heardMs = performance.now()
    said += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  let hangs = false
  const endMs = heardMs + search.budgetMs + graceMs
  // A mutant may loop without ever giving its process a turn.
  const timer = setInterval(() => {
    const nowMs = performance.now()
    if (nowMs < endMs && nowMs - heardMs < longestSilenceMs) return
    hangs = true
    child.kill('SIGKILL')
  }, 1_000)
  await new Promise<void>((resolve) => child.once('close', () => resolve()))
  clearInterval(timer)
  if (hangs) return 'hangs'
  const line = said.trim()
  if (line === '') throw new Error(`the judge in ${folder} said nothing: ${complaint.slice(-2_000)}`)
  return JSON.parse(line) as Verdict
}
