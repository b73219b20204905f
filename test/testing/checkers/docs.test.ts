import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { History } from '../../../src/testing/index.ts'
import { checkAll, checkerNames, explain } from '../../../src/testing/index.ts'

const page = readFileSync(new URL('../../../docs/checkers.md', import.meta.url), 'utf8')

test('docs/checkers.md tells of every checker, once, in the order in which they run', () => {
  expect([...page.matchAll(/^\| `([a-z-]+)` \|(?=(?:[^|]+\|){3}$)/gm)].map(([, name]) => name)).toEqual(checkerNames)
})

test('its example prints what it says', () => {
  const operations = /const history: Operation\[\] = (\[[\s\S]*?\n\])/.exec(page)?.[1] ?? ''
  const history = new Function(`return ${operations}`)() as History
  const printed = /```text\n([\s\S]*?)```/.exec(page)?.[1]
  expect(explain(checkAll(history, { semantics: 'effectively-once' }), history)).toBe(printed)
})
