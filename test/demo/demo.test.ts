import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const main = join(import.meta.dirname, '../../demo/main.ts')
const run = (args: readonly string[], env = process.env) =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env })

const clean = { ok: true, lost: 0, appliedTwice: 0, foreign: 0, keyOrderViolations: 0, totalsWrong: 0 }

describe('npm run demo', () => {
  test('small, both topologies, workers killed at work: every effect once, and one JSON document says so', {
    timeout: 90_000,
  }, () => {
    const { status, stdout, stderr } = run(['--messages', '1200', '--workers', '2', '--seed', '7', '--json'])
    expect(status, stderr).toBe(0)
    const audit = JSON.parse(stdout)
    expect(audit).toMatchObject({ ...clean, messages: 2400, semantics: 'effectively-once' })
    for (const name of ['in-database', 'test-broker']) {
      expect(audit.topologies[name], name).toMatchObject({ messages: 1200, lost: 0, appliedTwice: 0, publisherKills: 2 })
      expect(audit.topologies[name].kills, name).toBeGreaterThanOrEqual(3)
      expect(audit.topologies[name].duplicatesPublished, name).toBeGreaterThan(200)
    }
    expect(audit.topologies['test-broker'].suppressedByInbox).toBeGreaterThan(200)
    expect(audit.killsInsideTransaction + audit.killsAfterCommit).toBeGreaterThan(0)
  })

  test('Ctrl-C ends every process it started and removes its files', { timeout: 30_000 }, async () => {
    const temp = mkdtempSync(join(tmpdir(), 'onefold-test-'))
    const demo = spawn(process.execPath, [main, '--messages', '50000', '--workers', '2'], {
      env: { ...process.env, TMPDIR: temp },
      stdio: 'ignore',
    })
    const ended = new Promise<number | null>((resolve) => demo.once('exit', resolve))
    const children = (): number[] => {
      const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(demo.pid)], { encoding: 'utf8' })
      return stdout
        .split('\n')
        .map(Number)
        .filter((pid) => pid > 0)
    }
    const deadline = performance.now() + 15_000
    while (children().length < 3 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50))
    const started = children()
    expect(started.length).toBeGreaterThanOrEqual(3)
    demo.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(readdirSync(temp)).toEqual([])
    while (started.some((pid) => existsSync(`/proc/${pid}`)) && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(started.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
    rmSync(temp, { recursive: true })
  })

  test('a wrong option: what is wrong, the usage, exit code 2', () => {
    const { status, stdout, stderr } = run(['--semantics', 'exactly-once'])
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain("--semantics is 'exactly-once'; it must be one of")
    expect(stderr).toContain('--kill-every-ms')
  })

  test('--help explains and changes nothing', () => {
    const { status, stdout } = run(['--help'])
    expect(status).toBe(0)
    expect(stdout).toContain('Exit code')
  })
})
