import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { OnefoldError, RetryLater } from '../src/errors.ts'

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

function codes(): string[] {
  const union = /export type ErrorCode =([\s\S]*?)\n\nexport/.exec(read('../src/errors.ts'))?.[1] ?? ''
  return [...union.matchAll(/'([A-Z_]+)'/g)].map((match) => match[1] as string)
}

test('every error code is documented once, and no other', () => {
  const declared = codes()
  const documented = [...read('../docs/errors.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1])
  expect(declared.length).toBeGreaterThan(20)
  expect(documented.toSorted()).toEqual(declared.toSorted())
})

test('every error code is used by the code', () => {
  const root = fileURLToPath(new URL('../src', import.meta.url))
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && file !== 'errors.ts',
  )
  const text = sources.map((file) => readFileSync(join(root, file), 'utf8')).join('')
  const unused = codes().filter((code) => !text.includes(`'${code}'`))
  expect(unused).toEqual([])
})

test('an error without options is: not applied, never to be repeated as it is', () => {
  expect(new OnefoldError('NOT_FOUND', 'no such thing')).toMatchObject({ outcome: 'not-applied', retry: 'never', details: {} })
})

test('RetryLater refuses a delay that is no delay, naming the option', () => {
  expect(() => new RetryLater({ afterMs: -1 })).toThrow(/afterMs/)
  expect(() => new RetryLater({ afterMs: Number.NaN })).toThrow(/afterMs/)
})
