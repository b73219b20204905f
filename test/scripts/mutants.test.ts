import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { generateMutants } from '../support/generate-mutants.ts'
import { survivors, whySurvives } from '../support/surviving-mutants.ts'

test('every reason is that of a mutant that is still generated, and what is said to show it is there', () => {
  const reasons = new Set(generateMutants().map(({ file, text, within }) => whySurvives(file, text, within)))
  expect(survivors.filter((one) => !reasons.has(one)).map(({ file, text, why }) => `${file}  ${text}  ${why}`)).toEqual([])
  const named = survivors.flatMap(({ shownBy }) => shownBy ?? [])
  expect(named.filter((path) => !existsSync(fileURLToPath(new URL(`../${path}`, import.meta.url))))).toEqual([])
})
