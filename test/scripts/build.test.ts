import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { pointAtJavaScript, publishedManifest } from '../../scripts/build.ts'

test('the published manifest carries what a user needs and nothing of the workshop', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const published = publishedManifest(manifest)
  for (const field of ['private', 'scripts', 'devDependencies', 'optionalDependencies'])
    expect(published).not.toHaveProperty(field)
  expect(published).toMatchObject({
    name: 'onefold',
    type: 'module',
    engines: { node: '>=24' },
    bin: { onefold: 'lib/cli/main.js' },
    exports: {
      '.': { types: './lib/index.d.ts', default: './lib/index.js' },
      './sqlite': { types: './lib/database/sqlite/index.d.ts', default: './lib/database/sqlite/index.js' },
      './package.json': './package.json',
    },
  })
})

test('built code names the built files', () => {
  const before = [
    "import { type A } from './a.ts'",
    'export * from "../b/c.ts"',
    "type D = typeof import('./d.ts')",
    "new Worker(new URL('./thread.ts', import.meta.url))",
    "log('see ./message.ts')",
    "import z from 'somewhere/z.ts'",
  ]
  const after = [
    "import { type A } from './a.js'",
    'export * from "../b/c.js"',
    "type D = typeof import('./d.js')",
    "new Worker(new URL('./thread.js', import.meta.url))",
    "log('see ./message.ts')",
    "import z from 'somewhere/z.ts'",
  ]
  expect(pointAtJavaScript(before.join('\n')).split('\n')).toEqual(after)
})
