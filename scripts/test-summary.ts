import { writeFileSync } from 'node:fs'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

export interface TestCounts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/**
 * Says after a run why each skipped test was skipped, since a test that silently does not run proves nothing, and which failed, a
 * line each.
 * Where `ONEFOLD_TEST_COUNTS` names a file, the counts are written there for `npm run verify`.
 */
export default class TestSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const skipped = tests.filter((test) => test.result().state === 'skipped')
    for (const test of skipped) console.log(`skipped: ${test.module.relativeModuleId} > ${test.fullName}: ${reasonOf(test)}`)
    for (const test of tests) {
      const [error] = test.result().errors ?? []
      if (error !== undefined)
        console.log(`failed: ${test.module.relativeModuleId} > ${test.fullName}: ${briefly(error.message)}`)
    }

    const counts: TestCounts = {
      passed: tests.filter((test) => test.result().state === 'passed').length,
      // A file that could not be loaded, a hook that failed and an error outside any test have no test of their own to fail.
      failed:
        tests.filter((test) => test.result().state === 'failed').length +
        modules.flatMap((module) => [module, ...module.children.allSuites()]).filter((suite) => suite.errors().length > 0)
          .length +
        unhandledErrors.length,
      skipped: skipped.length,
    }
    const file = process.env.ONEFOLD_TEST_COUNTS
    if (file !== undefined) writeFileSync(file, JSON.stringify(counts))
  }
}

/** One line: the details stand elsewhere. */
function briefly(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300)
}

function reasonOf(test: TestCase): string {
  const result = test.result()
  const note = result.state === 'skipped' ? result.note : undefined
  if (note !== undefined) return note
  if (test.options.mode === 'todo') return 'to do'
  return hookFailed(test) ? 'a hook before it failed' : 'no reason given'
}

function hookFailed(test: TestCase): boolean {
  let suite: TestCase['parent'] = test.parent
  while (suite.type === 'suite' && suite.errors().length === 0) suite = suite.parent
  return suite.errors().length > 0
}
