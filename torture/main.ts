/**
 * npm run torture: real faults on real processes over one database, then an audit of what became of every message. See
 * settings.ts for the options, fault-kinds.ts for what is done, and docs/torture.md for what it shows and what not.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Interrupted } from './interrupted.ts'
import { enterMountNamespace } from './namespace.ts'
import { documentOf, isGood, markdownOf } from './report.ts'
import { Run } from './run.ts'
import type { Settings } from './settings.ts'
import { parseSettings, UsageError, usage } from './settings.ts'

const settings = settingsOrExit()
const noMounts = settings.engine === 'sqlite' ? enterMountNamespace(import.meta.filename) : undefined
const run = new Run(settings, mkdtempSync(join(tmpdir(), 'onefold-torture-')), noMounts)
let signalled = 0

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (signalled++ === 0) process.stderr.write('\ninterrupted; ends its processes and takes its disks away\n')
    run.interrupt()
  })
}

process.exitCode = await torture()
process.exit()

async function torture(): Promise<number> {
  const line = process.stderr.isTTY ? setInterval(() => process.stderr.write(`\r\x1b[K${run.progress()}`), 500) : undefined
  try {
    const result = await run.toItsEnd()
    if (line !== undefined) process.stderr.write('\r\x1b[K')
    process.stdout.write(settings.json ? `${JSON.stringify(documentOf(result), null, 2)}\n` : markdownOf(result))
    return isGood(result) ? 0 : 1
  } catch (error) {
    if (error instanceof Interrupted) return 130
    process.stderr.write(`\nThe run could not be brought to its end: ${error instanceof Error ? error.stack : String(error)}\n`)
    return 1
  } finally {
    clearInterval(line)
    await run.cleanUp()
  }
}

function settingsOrExit(): Settings {
  try {
    const parsed = parseSettings(process.argv.slice(2))
    if (parsed !== 'help') return parsed
    process.stdout.write(usage)
    process.exit(0)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n\n${usage}`)
    process.exit(2)
  }
}
