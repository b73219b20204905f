import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Lints files made up for the test under the repository's own rules. Answers `path:line` of each finding that `about` matches. */
function findings(files: Record<string, string>, about: RegExp): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-lint-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const rules of ['biome.json', 'scripts/seam.grit', 'scripts/json.grit', '.gitignore'])
    cpSync(join(root, rules), join(folder, rules))
  for (const [path, code] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), code)
  }
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  const run = spawnSync(process.execPath, [biome, 'lint', '--reporter=github', '--max-diagnostics=none', 'src', 'test'], {
    cwd: folder,
    encoding: 'utf8',
  })
  const lines = (run.stdout + run.stderr).split('\n').filter((line) => line.startsWith('::error') && about.test(line))
  return lines.map((line) => /file=(?:.*onefold-lint-[^/]*\/)?([^,]+),line=(\d+)/.exec(line)?.slice(1).join(':') ?? line).sort()
}

const clocks = [
  'export const a = Date.now()',
  'export const b = Date()',
  'export const c = new Date()',
  'export const d = new Date',
  'export const e = globalThis.Date.now()',
  'export const f = Math.random()',
  'export const g = performance.now()',
  'export const h = crypto.randomUUID()',
  'export const i = AbortSignal.timeout(5)',
  'export const j = setTimeout(() => {}, 1)',
  'export const k = setInterval(() => {}, 1)',
  'export const l = setImmediate(() => {})',
  'export const m = () => process.exit(1)',
  'export const n = () => process.kill(1)',
  "export const o = import('node:timers/promises')",
  "export { randomUUID } from 'node:crypto'",
  "export { performance } from 'node:perf_hooks'",
]

test('src/ gets time, timers, randomness and the end of the process from the runtime argument only', () => {
  const file = `${clocks.join('\n')}\n`
  const found = findings(
    { 'src/consume/loop.ts': file, 'src/cli/main.ts': file, 'src/runtime/node-runtime.ts': file, 'test/loop.test.ts': file },
    /src.runtime\.ts|noRestrictedGlobals/,
  )
  const everyLineOf = (path: string) => clocks.map((_, index) => `${path}:${index + 1}`)
  expect(new Set(found)).toEqual(new Set([...everyLineOf('src/consume/loop.ts'), ...everyLineOf('src/cli/main.ts')]))
})

test('a date made from a number is data, and a comment that says why lets one use through', () => {
  const file = [
    'export const at = new Date(0).toISOString()',
    '// biome-ignore lint/plugin: the command is over',
    'process.exit(2)',
  ]
  expect(findings({ 'src/cli/main.ts': file.join('\n') }, /./)).toEqual([])
})

test('src/ reads JSON with parseJson only', () => {
  const file = "export const a = JSON.parse('1')\nexport const b = ['1'].map(JSON.parse)\nexport const c = JSON.stringify(1)\n"
  expect(findings({ 'src/consume/item.ts': file, 'src/parse-json.ts': file, 'test/a.test.ts': file }, /parseJson/)).toEqual([
    'src/consume/item.ts:1',
    'src/consume/item.ts:2',
  ])
})

test('a promise that nobody awaits is refused, also when it is one only sometimes', () => {
  const found = findings(
    {
      'src/message.ts': 'export type Awaitable<T> = T | PromiseLike<T>\n',
      'src/a.ts':
        "import { type Awaitable } from './message.ts'\nexport const f = (work: () => Awaitable<void>) => {\n  work()\n}\n",
    },
    /noFloatingPromises/,
  )
  expect(found).toEqual(['src/a.ts:3'])
})

test('only the command line and the runtime write to the console, and `any` is refused everywhere', () => {
  const file = 'export const show = (value: any) => console.log(value)\n'
  expect(findings({ 'src/a.ts': file, 'src/cli/b.ts': file, 'src/runtime/d.ts': file, 'test/c.ts': file }, /noConsole/)).toEqual([
    'src/a.ts:1',
  ])
  expect(findings({ 'src/a.ts': file, 'test/c.ts': file }, /noExplicitAny/)).toEqual(['src/a.ts:1', 'test/c.ts:1'])
})
