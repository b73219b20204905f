import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const main = join(import.meta.dirname, '../../demo/main.ts')

function demo(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [main, '--json', '--messages', '4000', '--kill-every-ms', '200', ...args],
    { encoding: 'utf8' },
  )
  expect(stdout, stderr).not.toBe('')
  return { status, audit: JSON.parse(stdout) }
}

/** A judge that never finds anything shows nothing: under the weaker promises the same run must come out dirty. */
describe('the demo can fail', () => {
  test('at-least-once: kills between commit and acknowledge apply messages twice; nothing is lost', () => {
    const { status, audit } = demo('--semantics', 'at-least-once', '--topology', 'in-database')
    expect(audit).toMatchObject({ ok: false, lost: 0, foreign: 0 })
    expect(audit.appliedTwice).toBeGreaterThan(0)
    expect(audit.totalsWrong).toBeGreaterThan(0)
    expect(status).toBe(1)
  })

  test('at-most-once: kills lose messages that were acknowledged; nothing is applied twice', () => {
    const { status, audit } = demo('--semantics', 'at-most-once', '--topology', 'in-database')
    expect(audit).toMatchObject({ ok: false, appliedTwice: 0, foreign: 0 })
    expect(audit.lost).toBeGreaterThan(0)
    expect(status).toBe(1)
  })

  test('effectively-once, the same messages and kills: clean', () => {
    const { status, audit } = demo('--topology', 'in-database')
    expect(audit).toMatchObject({ ok: true, lost: 0, appliedTwice: 0, keyOrderViolations: 0, totalsWrong: 0 })
    expect(status).toBe(0)
  })
})
