import { expect, test } from 'vitest'

/** `import()` awaits the module it loads: one that exports a function named `then` is taken for a promise. */
test('a program that imports the library with import() gets the library', async () => {
  const library = await import('../../src/index.ts')
  expect(library.onefold).toBeTypeOf('function')
  const handler = await import('../../src/consume/apply-handler.ts')
  expect(handler.ApplyHandler).toBeTypeOf('function')
})
