import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const main = join(import.meta.dirname, '../../demo/main.ts')
const small = ['--messages', '300', '--workers', '2', '--seed', '7', '--json']
const clean = { ok: true, lost: 0, appliedTwice: 0, foreign: 0, keyOrderViolations: 0, totalsWrong: 0 }

/** Beside the tests' own event loop, which the server's set-up needs. */
async function run(...args: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const demo = spawn(process.execPath, [main, ...args])
  onTestFinished(() => void demo.kill('SIGKILL'))
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) demo[name].on('data', (chunk) => (said[name] += chunk))
  const status = await new Promise<number | null>((resolve) => demo.once('close', resolve))
  return { status, ...said }
}

test('--database URL: workers on a PostgreSQL server killed at work, every effect once; all it made there is dropped', {
  timeout: 180_000,
}, async () => {
  const { url, pool } = await temporaryPostgres()
  const { status, stdout, stderr } = await run(...small, '--database', url)
  expect(status, stderr).toBe(0)
  const audit = JSON.parse(stdout)
  expect(audit).toMatchObject({ ...clean, messages: 600, database: 'postgres', semantics: 'effectively-once' })
  for (const name of ['in-database', 'test-broker']) {
    expect(audit.topologies[name], name).toMatchObject({ messages: 300, publisherKills: 2 })
    expect(audit.topologies[name].kills, name).toBeGreaterThanOrEqual(3)
    expect(audit.topologies[name].duplicatesPublished, name).toBeGreaterThan(60)
  }
  expect(audit.topologies['test-broker'].suppressedByInbox).toBeGreaterThan(50)
  expect(audit.killsInsideTransaction + audit.killsAfterCommit).toBeGreaterThan(0)
  const { rows } = await pool.query("select nspname from pg_namespace where nspname like 'onefold%'")
  expect(rows).toEqual([])
})

test('--database postgres: a server of its own; Ctrl-C ends it with every process, and removes its files', {
  timeout: 120_000,
}, async () => {
  const temp = mkdtempSync(join(tmpdir(), 'onefold-test-'))
  onTestFinished(() => rmSync(temp, { recursive: true, force: true }))
  // The server runs as another user where this is root.
  chmodSync(temp, 0o711)
  const demo = spawn(process.execPath, [main, '--messages', '50000', '--workers', '2', '--database', 'postgres'], {
    env: { ...process.env, TMPDIR: temp },
    stdio: 'ignore',
  })
  const ended = new Promise<number | null>((resolve) => demo.once('exit', resolve))
  const about = (): string[] =>
    readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(temp) && pid !== `${process.pid}`)
  const workers = (): number[] => {
    const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(demo.pid)], { encoding: 'utf8' })
    return stdout
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0)
  }
  // Two workers, the sender, and whoever stops the server should the demo be killed.
  await until(() => workers().length >= 4, 'its processes run', 60_000)
  const started = workers()
  expect(about().length).toBeGreaterThan(0)
  demo.kill('SIGINT')
  expect(await ended).toBe(130)
  await until(() => [...started, ...about()].every((pid) => !existsSync(`/proc/${pid}`)), 'all of them have ended', 20_000)
  await until(
    () => readdirSync(temp).length === 0,
    () => `files are gone: ${readdirSync(temp)}`,
    5_000,
  )
})

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
