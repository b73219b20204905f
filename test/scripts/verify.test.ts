import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { closingLines } from '../../scripts/verify.ts'

const good = { failedChecks: 0, tests: { passed: 3, failed: 0, skipped: 0 }, testRunnerPassed: true }

test.each([
  ['all is well', good, '3 passed, 0 failed', true],
  [
    'a test failed',
    { ...good, tests: { passed: 2, failed: 1, skipped: 0 }, testRunnerPassed: false },
    '2 passed, 1 failed',
    false,
  ],
  ['the linter refused', { ...good, failedChecks: 1 }, '3 passed, 1 failed', false],
  ['no test ran', { ...good, tests: { passed: 0, failed: 0, skipped: 9 } }, '0 passed, 1 failed', false],
  ['the runner died before it counted', { ...good, tests: undefined, testRunnerPassed: false }, '0 passed, 1 failed', false],
  ['the runner failed without a failed test', { ...good, testRunnerPassed: false }, '3 passed, 1 failed', false],
])('the closing line when %s', (_, outcome, line, isGood) => {
  const closing = closingLines(outcome)
  expect(closing.lines.at(-1)).toBe(line)
  expect(closing.good).toBe(isGood)
})

test('the counts include a file that could not be loaded, and each skipped test says why', () => {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-counts-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'unloadable.test.js'), "import './not-there.js'\n")
  const cases = [
    "test('passes', () => {})",
    "test('fails', () => { throw new Error('on purpose') })",
    "test('needs a tool', (context) => context.skip('strace is not installed'))",
    "test.skip('says nothing', () => {})",
    "describe('a broken hook', () => { beforeAll(() => { throw new Error('on purpose') }); test('never runs', () => {}) })",
  ]
  writeFileSync(join(folder, 'cases.test.js'), cases.join('\n'))

  const repository = fileURLToPath(new URL('../..', import.meta.url))
  const counts = join(folder, 'counts.json')
  const reporter = join(repository, 'scripts/test-summary.ts')
  const vitest = [
    join(repository, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--globals',
    `--root=${folder}`,
    `--reporter=${reporter}`,
  ]
  const run = spawnSync(process.execPath, vitest, { encoding: 'utf8', env: { ...process.env, ONEFOLD_TEST_COUNTS: counts } })

  expect(run.status).toBe(1)
  expect(run.stdout).toContain('cases.test.js > needs a tool: strace is not installed')
  expect(run.stdout).toContain('cases.test.js > says nothing: no reason given')
  expect(run.stdout).toContain('cases.test.js > a broken hook > never runs: a hook before it failed')
  expect(JSON.parse(readFileSync(counts, 'utf8'))).toMatchObject({ passed: 1, failed: 3 })
})
