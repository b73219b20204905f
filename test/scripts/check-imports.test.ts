import { describe, expect, test } from 'vitest'
import { checkImports, core, importsOf, rooms } from '../../scripts/check-imports.ts'

/** A small src/ in which every import points the right way. */
const sound = {
  'index.ts': "export { onefold } from './app.ts'\nexport type { Database } from './database/database.ts'\n",
  'app.ts': "import { loop } from './consume/loop.ts'\nimport { publisher } from './publish/publisher.ts'\n",
  'message.ts': 'export interface Message {}\n',
  'inbox/inbox-store.ts': "import { type Message } from '../message.ts'\n",
  'inbox/sequence-set.ts': "import { type Message } from '../message.ts'\n",
  'outbox/relay.ts': "import { type Database } from '../database/database.ts'\n",
  'attention/redrive.ts': "import { type Database } from '../database/database.ts'\n",
  'database/database.ts': "import { type InboxStore } from '../inbox/inbox-store.ts'\n",
  'database/sqlite/index.ts':
    "import { DatabaseSync } from 'node:sqlite'\nimport { SequenceSet } from '../../inbox/sequence-set.ts'\n",
  'publish/publisher.ts': "import { type Database } from '../database/database.ts'\n",
  'consume/loop.ts': "import { publisher } from '../publish/publisher.ts'\nimport { createHash } from 'node:crypto'\n",
  'cli/main.ts': "import { onefold } from '../index.ts'\nimport { sqlite } from '../database/sqlite/index.ts'\n",
}

/** What the checker says once `change` is made to the sound tree. */
function check(change: Record<string, string>): string[] {
  return checkImports(new Map(Object.entries({ ...sound, ...change })))
}

test('imports that point one way are left in peace', () => {
  expect(check({})).toEqual([])
})

describe('an import against the direction is named with its file and line', () => {
  const cases: readonly (readonly [string, Record<string, string>, string])[] = [
    [
      'a leaf that knows a port',
      { 'message.ts': "// note\nimport { x } from './database/database.ts'\n" },
      'src/message.ts:2 imports src/database/database.ts: leaf may not import ports',
    ],
    [
      'an interface that knows a port',
      { 'inbox/inbox-store.ts': "import type { x } from '../database/database.ts'\n" },
      'interfaces may not import ports',
    ],
    [
      'a port that knows an engine',
      { 'database/database.ts': "export { x } from './sqlite/index.ts'\n" },
      'ports may not import sqlite',
    ],
    [
      'an engine that knows publish',
      { 'database/sqlite/log.ts': "import { p } from '../../publish/publisher.ts'\n" },
      'sqlite may not import publish',
    ],
    [
      'an engine that knows consume',
      { 'broker/in-database/b.ts': "import { p } from '../../consume/loop.ts'\n" },
      'in-database may not import consume',
    ],
    [
      'an engine that knows the app',
      { 'broker/kafka/k.ts': "import { p } from '../../app.ts'\n" },
      'outside broker may not import app',
    ],
    [
      'an engine that knows what works through a port',
      { 'database/sqlite/r.ts': "import { p } from '../../outbox/relay.ts'\n" },
      'sqlite may import of concepts only what reaches no port',
    ],
    [
      'one engine that knows another',
      { 'broker/in-database/b.ts': "import { p } from '../../database/sqlite/index.ts'\n" },
      'in-database may not import sqlite',
    ],
    [
      'attention that knows consume',
      { 'attention/list.ts': "import { loop } from '../consume/loop.ts'\n" },
      'attention may not import consume',
    ],
    [
      'publish that knows consume',
      { 'publish/p.ts': "const x = await import('../consume/loop.ts')\n" },
      'publish may not import consume',
    ],
    [
      'anything but the engine that knows node:sqlite',
      { 'inspect/file.ts': "import { DatabaseSync } from 'node:sqlite'\n" },
      'src/inspect/file.ts:1 imports node:sqlite: only database/sqlite/**, testing/simulator/** may',
    ],
    [
      'core that knows HTTP',
      { 'consume/http.ts': "import { request } from 'node:http'\n" },
      'src/consume/http.ts:1 imports node:http',
    ],
    [
      'a package that the published one would have to bring along',
      { 'consume/x.ts': "import { z } from 'zod'\n" },
      'imports zod: nothing in src/ depends on it',
    ],
    ['a way out of src/', { 'testing/x.ts': "import { x } from '../../test/x.ts'\n" }, 'outside src/'],
    ['a folder nobody has placed', { 'utils/x.ts': '' }, 'src/utils/x.ts: belongs to no room'],
  ]
  test.each(cases)('%s', (_, change, sentence) => {
    expect(check(change).join('\n')).toContain(sentence)
  })
})

test('an engine loaded by core is told with the whole way there', () => {
  const said = check({
    'app.ts': "import { open } from './open.ts'\n",
    'open.ts': "import { sqlite } from './database/sqlite/index.ts'\n",
  })
  expect(said).toContain('src/index.ts loads sqlite: index.ts → app.ts → open.ts → database/sqlite/index.ts')
})

test('a cycle is told once, also when it is made of types only', () => {
  const said = check({ 'consume/a.ts': "import type { B } from './b.ts'\n", 'consume/b.ts': "import type { A } from './a.ts'\n" })
  expect(said).toEqual(['import cycle: consume/a.ts → consume/b.ts → consume/a.ts'])
})

test('every form of import is seen, and text in comments is not', () => {
  const source = [
    '/**',
    " * import { a } from 'comment'",
    ' */',
    "import b from 'default'",
    "import c, { d } from 'default-and-names'",
    "import * as e from 'namespace'",
    'import {',
    '  f,',
    "} from 'many-lines'",
    "import 'effect'",
    "export * from 'star'",
    "export * as g from 'star-as'",
    "export type { H } from 'type'",
    "const i = await import('dynamic')",
    "type J = import('type-position').J",
    "const k = process.getBuiltinModule('builtin')",
    "const l = new Worker(new URL('./thread.ts', import.meta.url))",
    "// import { m } from 'comment'",
    'export const n = 1',
    "console.log(n, 'from', 'text')",
  ]
  const seen = importsOf(source.join('\n'))
  expect(Object.fromEntries(seen.map(({ from, line }) => [from, line]))).toEqual({
    default: 4,
    'default-and-names': 5,
    namespace: 6,
    'many-lines': 7,
    effect: 10,
    star: 11,
    'star-as': 12,
    type: 13,
    dynamic: 14,
    'type-position': 15,
    builtin: 16,
    './thread.ts': 17,
  })
})

test('the table names only rooms that exist', () => {
  const names = new Set(rooms.map(({ name }) => name))
  const named = [...rooms.flatMap(({ imports }) => imports.map((name) => name.replace(/^pure /, ''))), ...core.never]
  expect(named.filter((name) => !names.has(name))).toEqual([])
})
