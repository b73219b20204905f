import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')

/** Where a stranger installs what we pack. */
const project = mkdtempSync(join(tmpdir(), 'onefold-package-'))
let packed: { readonly filename: string; readonly files: readonly { readonly path: string }[] }

/** As a stranger's shell would: this Node first in PATH, nothing of the npm and the test runner around us. */
function run(folder: string, command: string, ...args: readonly string[]): string {
  const ours =
    /^(npm_(package|lifecycle|command)|npm_config_local_prefix$|INIT_CWD$|NODE_ENV$|NODE_OPTIONS$|VITEST|TEST$|FORCE_COLOR$)/i
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const result = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...environment, PATH: path, NO_COLOR: '1' },
    shell: process.platform === 'win32',
  })
  const said = `${[command, ...args].join(' ')}\n${result.stdout}${result.stderr}${result.error ?? ''}`
  expect(result.status, said).toBe(0)
  return result.stdout
}

/** The first complete program of the README, and what the README says it prints. */
function readmeProgram(): { readonly program: string; readonly prints: string } {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8')
  const [, program] = /^```ts\n([\s\S]*?)^```$/m.exec(readme) ?? []
  if (program === undefined) throw new Error('README.md has no ```ts block')
  const [, prints] = /^```text\n([\s\S]*?)^```$/m.exec(readme.slice(readme.indexOf(program))) ?? []
  if (prints === undefined)
    throw new Error('README.md shows no ```text block, with what its program prints, after the first ```ts block')
  return { program, prints }
}

beforeAll(() => {
  run(repository, process.execPath, 'scripts/build.ts')
  packed = JSON.parse(run(repository, 'npm', 'pack', './dist', '--json', `--pack-destination=${project}`))[0]
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }))
  run(project, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${packed.filename}`)
})

afterAll(() => rmSync(project, { recursive: true, force: true }))

test('the package holds built code, its pages, and nothing else', () => {
  const others = packed.files.map(({ path }) => path).filter((path) => !/^lib\/.*\.(js|d\.ts)$/.test(path))
  expect(others.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
})

test('the package brings two dependencies along: the types of Standard Schema, and cron patterns', () => {
  const installed = JSON.parse(run(project, 'npm', 'ls', '--all', '--json')).dependencies
  expect(Object.keys(installed)).toEqual(['onefold'])
  expect(Object.keys(installed.onefold.dependencies)).toEqual(['@standard-schema/spec', 'croner'])
})

test('core, imported alone, loads no engine, no server and no dependency', () => {
  const loaded = JSON.parse(
    run(
      project,
      process.execPath,
      '--input-type=module',
      '--eval',
      `import { registerHooks } from 'node:module'
       const urls = []
       registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
       await import('onefold')
       console.log(JSON.stringify(urls))`,
    ),
  ) as string[]
  const foreign = loaded.filter((url) => !url.includes('/node_modules/onefold/lib/') && !url.startsWith('node:'))
  expect(foreign).toEqual([])
  expect(
    loaded.filter((url) => /^node:(sqlite|https?|http2|net|tls)$|\/lib\/(database\/sqlite|cli|testing)\//.test(url)),
  ).toEqual([])
})

test.each(subpaths)('%s can be imported', (subpath) => {
  const name = subpath.replace(/^\./, 'onefold')
  const names = run(
    project,
    process.execPath,
    '--input-type=module',
    '--eval',
    `console.log(Object.keys(await import('${name}')).join())`,
  )
  expect(names.trim()).not.toBe('')
})

test('the program in the README compiles against the packed types, runs, and prints what the README says', () => {
  const { program, prints } = readmeProgram()
  writeFileSync(join(project, 'program.ts'), program)
  const imported = [...program.matchAll(/from '([^'.][^']*)'/g)].map(([, name]) => String(name))
  const others = imported.filter((name) => !/^(onefold|node:)/.test(name))
  for (const name of others) run(project, 'npm', 'install', '--prefer-offline', `${name}@${manifest.devDependencies[name]}`)

  const options = {
    target: 'es2024',
    lib: ['es2024', 'esnext.disposable'],
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    noEmit: true,
    // Ours, too, are checked.
    skipLibCheck: false,
    types: ['node'],
    typeRoots: [join(repository, 'node_modules/@types')],
  }
  const everything = subpaths.map(
    (subpath, index) => `import * as all${index} from '${subpath.replace(/^\./, 'onefold')}'\nvoid all${index}\n`,
  )
  writeFileSync(join(project, 'everything.ts'), everything.join(''))
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, files: ['program.ts', 'everything.ts'] }),
  )
  run(project, process.execPath, join(repository, 'node_modules/typescript/bin/tsc'), '-p', '.')

  const cwd = join(project, 'run')
  mkdirSync(cwd)
  expect(run(cwd, process.execPath, '../program.ts')).toBe(prints)
})

test('the command line starts', () => {
  expect(run(project, 'npx', '--no-install', 'onefold', '--help')).toContain('onefold COMMAND')
  expect(run(project, 'npx', '--no-install', 'onefold', '--version').trim()).toBe(manifest.version)
})
