/**
 * Everything that must hold before a change is good: `npm run verify`. Each check runs even if one before it failed.
 * The last line is `N passed, N failed`: tests, plus one failed for each other check that failed.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestCounts } from './test-summary.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface Outcome {
  readonly failedChecks: number
  /** Undefined when the test runner ended before it could count. */
  readonly tests: TestCounts | undefined
  readonly testRunnerPassed: boolean
}

/** What to say last. A test run that failed without naming a failed test, or that ran no test, has failed. */
export function closingLines({ failedChecks, tests, testRunnerPassed }: Outcome): { lines: string[]; good: boolean } {
  const { passed, failed, skipped } = tests ?? { passed: 0, failed: 0, skipped: 0 }
  const failedRun = failed === 0 && (!testRunnerPassed || passed === 0) ? 1 : 0
  const allFailed = failed + failedChecks + failedRun
  const skips = skipped === 0 ? '0 skipped' : `${skipped} skipped: the reasons stand above`
  return { lines: [skips, `${passed} passed, ${allFailed} failed`], good: allFailed === 0 }
}

/** Runs a tool of the repository under this Node. */
function run(what: string, environment: Record<string, string>, file: string, ...args: readonly string[]): boolean {
  console.log(`\n== ${what}`)
  const started = performance.now()
  const { status } = spawnSync(process.execPath, [join(root, file), ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  })
  console.log(`== ${what}: ${status === 0 ? 'passed' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  return status === 0
}

function verify(): void {
  console.log(`Node ${process.version}, ${process.platform} ${process.arch}`)
  const biome = 'node_modules/@biomejs/biome/bin/biome'
  const checks = [
    run('types', {}, 'node_modules/typescript/bin/tsc', '--noEmit'),
    run('lint', {}, biome, 'lint', '--error-on-warnings'),
    run('format', {}, biome, 'format'),
    run('imports', {}, 'scripts/check-imports.ts'),
  ]
  const scratch = mkdtempSync(join(tmpdir(), 'onefold-verify-'))
  const counts = join(scratch, 'counts.json')
  const everyEngine = { ONEFOLD_TEST_COUNTS: counts, ONEFOLD_ENGINES: 'sqlite,postgres' }
  const testRunnerPassed = run('tests', everyEngine, 'node_modules/vitest/vitest.mjs', 'run')
  const tests = readCounts(counts)
  rmSync(scratch, { recursive: true })

  const { lines, good } = closingLines({ failedChecks: checks.filter((passed) => !passed).length, tests, testRunnerPassed })
  console.log(['', ...lines].join('\n'))
  process.exitCode = good ? 0 : 1
}

function readCounts(file: string): TestCounts | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

if (import.meta.main) verify()
