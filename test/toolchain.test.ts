import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

test('the tests run on the Node that the repository brings along', () => {
  const brought = manifest.optionalDependencies[`node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`]
  if (brought === undefined) return expect(Number(process.versions.node.split('.')[0])).toBeGreaterThanOrEqual(24)
  expect(process.version).toBe(`v${brought}`)
})

test('a child process started with `process.execPath` runs TypeScript as it is', async () => {
  const { spawnSync } = await import('node:child_process')
  const run = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', 'const n: number = 1; console.log(n)'])
  expect(run.stdout.toString()).toBe('1\n')
})
