import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as correct from '../../../examples/mistakes/ledger.ts'
import type { Provable, ProveOptions } from '../../../src/testing/index.ts'
import { prove } from '../../../src/testing/index.ts'
import { failureOf } from './support/failure-of.ts'

interface Example {
  readonly application: Extract<Provable, () => unknown>
  readonly options?: ProveOptions
}

const folder = new URL('../../../examples/mistakes/', import.meta.url)
const readme = readFileSync(new URL('README.md', folder), 'utf8')

/** The file of each mistake, and the rule it breaks. */
const mistakes = [
  ['mail-inside-apply', 'nobody gets a mail twice'],
  ['receive-without-deduplication', 'same end'],
  ['seen-ids-in-memory', 'same end'],
  ['balance-kept-between-messages', 'money is neither made nor lost'],
  ['fresh-idempotency-key', 'nobody gets a mail twice'],
  ['second-connection', 'the reported turnover is what the shop has'],
  ['publish-after-commit', 'same end'],
  ['at-most-once-money', 'same end'],
] as const

test.for(mistakes)(
  '%s: found within 150 schedules, as one small story that names the line',
  { timeout: 60_000 },
  async ([name, rule]) => {
    const { application, options = correct.options } = (await import(new URL(`${name}.ts`, folder).href)) as Example
    const failure = await failureOf(application, { ...options, maxSchedules: 150, budgetMs: 60_000 })
    expect(failure.rule).toBe(rule)
    expect(failure.faults.length).toBeLessThanOrEqual(2)

    const source = readFileSync(new URL(`${name}.ts`, folder), 'utf8')
    const lines = source.trimEnd().split('\n')
    const line = 1 + lines.findIndex((text) => text.includes('app.consume('))
    expect(line).toBeGreaterThan(0)
    expect(failure.text).toContain(`(${name}.ts:${line})`)
    expect(lines.length, 'an example that fits on a screen').toBeLessThanOrEqual(40)

    expect(readme, `the table says of ${name}: ${failure.what}`).toContain(`[${name}.ts](${name}.ts)`)
    expect(withoutNames(readme)).toContain(withoutNames(failure.what))

    const again = await failureOf(application, { ...options, replay: failure.vector })
    expect([again.rule, again.what, again.faults]).toEqual([failure.rule, failure.what, failure.faults])
    expect(again.story).toEqual(failure.story)
  },
)

/** Which payment of whom it is that shows the mistake depends on where a fault was placed first. */
function withoutNames(text: string): string {
  return text.replaceAll(/\b(ann|ben|shop)\b/g, 'NAME').replaceAll(/\d+/g, 'N')
}

test('the correct application is not accused: it gets a certificate that states its bounds', { timeout: 60_000 }, async () => {
  const certificate = await prove(correct.application, { ...correct.options, maxSchedules: 200, budgetMs: 60_000 })
  expect(certificate.schedules).toBe(200)
  expect(certificate.repeatedSchedules).toBeGreaterThan(0)
  expect(certificate.text).toMatch(/^No violation in [\d,]+ schedules/)
})
