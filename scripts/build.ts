/**
 * Builds dist/: the published package, ready for `npm pack ./dist`.
 *
 *   dist/lib/            JavaScript and declarations, laid out as src/
 *   dist/package.json    what its user needs of ours: no scripts, no tools, no Node binaries
 *   dist/README.md, LICENSE, CHANGELOG.md
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Manifest {
  readonly [field: string]: unknown
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string>>
}

/** Fields that mean the same to the user of the package as to its developer. */
const kept = ['name', 'version', 'description', 'keywords', 'license', 'author', 'homepage', 'repository', 'bugs']
const keptToo = ['type', 'sideEffects', 'engines', 'dependencies', 'peerDependencies', 'peerDependenciesMeta']

/** The published manifest, made from the repository's. */
export function publishedManifest(manifest: Manifest): Record<string, unknown> {
  const pick = (names: readonly string[]) =>
    names.filter((name) => name in manifest).map((name) => [name, manifest[name]] as const)
  const exports = Object.entries(manifest.exports).map(([subpath, file]) => [
    subpath,
    file.endsWith('.ts') ? { types: built(file, '.d.ts'), default: built(file, '.js') } : file,
  ])
  const bin = Object.entries(manifest.bin).map(([name, file]) => [name, built(file, '.js').replace(/^\.\//, '')])
  return {
    ...Object.fromEntries(pick(kept)),
    ...Object.fromEntries(pick(keptToo)),
    bin: Object.fromEntries(bin),
    exports: Object.fromEntries(exports),
  }
}

/** './src/a/b.ts' → './lib/a/b.js' */
function built(file: string, extension: '.js' | '.d.ts'): string {
  return file.replace(/^(?:\.\/)?src\//, './lib/').replace(/\.ts$/, extension)
}

/**
 * The compiler rewrites the extension in imports of JavaScript, but neither in declarations nor in the URL of a worker's file.
 * (Newer compilers find `./a.d.ts` by `./a.ts`, older ones do not.)
 */
export function pointAtJavaScript(code: string): string {
  return code
    .replace(/(\bfrom\s+|\bimport\s+|\bimport\()(['"])(\.{1,2}\/[^'"\n]*)\.ts\2/g, '$1$2$3.js$2')
    .replace(/(\bnew URL\()(['"])(\.{1,2}\/[^'"\n]*)\.ts\2(\s*,\s*import\.meta\.url)/g, '$1$2$3.js$2$4')
}

function build(): void {
  rmSync('dist', { recursive: true, force: true })
  const compiler = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
    stdio: 'inherit',
  })
  if (compiler.status !== 0) {
    console.error('build: the compiler refused src/; dist/ is incomplete')
    process.exitCode = 1
    return
  }

  for (const file of globSync('dist/lib/**/*.{js,d.ts}')) {
    const code = readFileSync(file, 'utf8')
    const shown = file.endsWith('.d.ts') ? code.replace(/^#!.*\n/, '') : code
    writeFileSync(file, pointAtJavaScript(shown))
  }

  const manifest = publishedManifest(JSON.parse(readFileSync('package.json', 'utf8')))
  writeFileSync('dist/package.json', `${JSON.stringify(manifest, null, 2)}\n`)
  for (const command of Object.values(manifest.bin as Record<string, string>)) chmodSync(`dist/${command}`, 0o755)
  for (const page of ['README.md', 'LICENSE', 'CHANGELOG.md']) if (existsSync(page)) copyFileSync(page, `dist/${page}`)
  console.log(`dist/: ${manifest.name} ${manifest.version}, ready for \`npm pack ./dist\``)
}

if (import.meta.main) {
  process.chdir(fileURLToPath(new URL('..', import.meta.url)))
  build()
}
