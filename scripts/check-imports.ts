/**
 * Imports in src/ point one way. The tables below are the rule; ARCHITECTURE.md says why. A type-only import counts like any
 * other: who names another's types depends on it.
 *
 *   node scripts/check-imports.ts
 */
import { readdirSync, readFileSync } from 'node:fs'
import { matchesGlob, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Room {
  readonly name: string
  /** Globs under src/. A file belongs to the first room that matches. */
  readonly files: readonly string[]
  /** Rooms it may import from, besides itself. 'pure x': only those modules of x that reach no port. */
  readonly imports: readonly string[]
}

/** What stands on what, from the leaves up; the face and the app come first because their file names are the narrower ones. */
// biome-ignore format: a table
export const rooms: readonly Room[] = [
  { name: 'app', files: ['app*.ts', 'app/**', 'onefold.ts'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'runtime', 'publish', 'calls', 'consume', 'attention', 'inspect', 'in-database'] },
  { name: 'face', files: ['index.ts'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'runtime', 'publish', 'calls', 'consume', 'attention', 'inspect', 'app'] },
  { name: 'leaf', files: ['*.ts', 'guarantee/card.ts'], imports: [] },
  { name: 'interfaces', files: ['*/*-store.ts', 'inspect/status.ts', 'consume/consume-options.ts'], imports: ['leaf'] },
  { name: 'ports', files: ['database/database.ts', 'database/topic-rules.ts', 'database/window-rules.ts', 'broker/broker.ts'], imports: ['leaf', 'interfaces'] },
  { name: 'runtime', files: ['runtime/**'], imports: ['leaf'] },

  // Engines know the ports and pure modules: never what publishes, applies or composes. The in-database broker is no engine
  // of its own but code over any Database, so it may use what else is built on that port.
  { name: 'sqlite', files: ['database/sqlite/**'], imports: ['leaf', 'interfaces', 'ports', 'pure concepts', 'pure attention', 'pure inspect'] },
  { name: 'postgres', files: ['database/postgres/**'], imports: ['leaf', 'interfaces', 'ports', 'pure concepts', 'pure attention', 'pure inspect'] },
  { name: 'in-database', files: ['broker/in-database/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts'] },
  { name: 'outside broker', files: ['broker/*/**'], imports: ['leaf', 'interfaces', 'ports', 'pure concepts'] },

  { name: 'concepts', files: ['inbox/**', 'outbox/**', 'ownership/**', 'schedule/**', 'erase/**', 'guarantee/**', 'state/**', 'telemetry/**'], imports: ['leaf', 'interfaces', 'ports'] },
  { name: 'inspect', files: ['inspect/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts'] },
  { name: 'attention', files: ['attention/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'calls'] },
  { name: 'publish', files: ['publish/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts'] },
  { name: 'calls', files: ['calls/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts'] },
  { name: 'consume', files: ['consume/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'attention', 'publish', 'calls'] },

  // Above the app: what shows it, drives it, or tries to break it.
  { name: 'move', files: ['move/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'inspect', 'app', 'face'] },
  { name: 'gateway', files: ['gateway/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'inspect', 'attention', 'app', 'face'] },
  { name: 'cli', files: ['cli/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'runtime', 'inspect', 'attention', 'app', 'face', 'sqlite', 'postgres', 'gateway', 'move', 'testing'] },
  { name: 'testing', files: ['testing/**'], imports: ['leaf', 'interfaces', 'ports', 'concepts', 'runtime', 'inspect', 'attention', 'publish', 'calls', 'consume', 'app', 'face', 'in-database', 'sqlite', 'postgres'] },
]

/** Modules from outside src/ that only some may import. `node:` modules not listed are free; packages not listed are refused. */
export const outside: readonly { readonly module: RegExp; readonly files: readonly string[] }[] = [
  { module: /^@standard-schema\/spec$/, files: ['**'] }, // Types only: nothing of it runs.
  { module: /^croner$/, files: ['schedule/**'] }, // Loaded only when an app declares a schedule.
  { module: /^node:sqlite$/, files: ['database/sqlite/**', 'testing/simulator/**'] },
  { module: /^node:(https?|http2|net|tls|dgram)$/, files: ['gateway/**', 'cli/**', 'runtime/replaced-globals.ts'] },
  { module: /^node:(readline|repl|tty)(\/|$)/, files: ['cli/**'] },
]

/** What `import 'onefold'` loads must stay free of these, however long the way there. */
export const core = { entry: 'index.ts', never: ['sqlite', 'postgres', 'outside broker', 'gateway', 'cli', 'testing', 'move'] }

interface Import {
  readonly line: number
  readonly from: string
}

/** `import … from`, `export … from`, `import '…'`, `import('…')` and worker files named by `new URL('…', import.meta.url)`. */
export function importsOf(source: string): Import[] {
  const name = String.raw`\s*['"]([^'"\n]+)['"]`
  const braces = String.raw`(?:\{[^}]*\}|\*\s*(?:as\s+\w+)?|\w+(?:\s*,\s*(?:\{[^}]*\}|\*\s*as\s+\w+))?)`
  const forms = [
    new RegExp(String.raw`^[ \t]*(?:import|export)\s+(?:type\s+)?${braces}\s*from${name}`, 'gm'),
    new RegExp(String.raw`^[ \t]*import${name}`, 'gm'),
    new RegExp(String.raw`\b(?:import|require|getBuiltinModule)\(${name}`, 'g'),
    new RegExp(String.raw`\bnew URL\(${name}\s*,\s*import\.meta\.url`, 'g'),
  ]
  const code = source.replace(/^[ \t]*\/\*[\s\S]*?\*\/|^[ \t]*\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ' '))
  const found = forms.flatMap((form) => [...code.matchAll(form)].map((match) => ({ at: match.index, from: match[1] ?? '' })))
  return found.map(({ at, from }) => ({ from, line: code.slice(0, at).split('\n').length }))
}

/** `files`: path under src/ → source text. Answers one sentence per violation. */
export function checkImports(files: ReadonlyMap<string, string>): string[] {
  const violations: string[] = []
  const graph = new Map<string, readonly (Import & { readonly to: string })[]>()

  for (const [file, source] of files) {
    const here: (Import & { to: string })[] = []
    for (const found of importsOf(source)) {
      if (found.from.startsWith('.')) here.push({ ...found, to: posix.normalize(posix.join(posix.dirname(file), found.from)) })
      else violations.push(...checkOutside(file, found))
    }
    graph.set(file, here)
  }

  const impure = reachingPorts(graph)
  for (const [file, imports] of graph) {
    const room = roomOf(file)
    if (room === undefined) {
      violations.push(`src/${file}: belongs to no room; say in scripts/check-imports.ts what it may import`)
      continue
    }
    for (const { to, line } of imports) {
      const target = roomOf(to)
      const where = `src/${file}:${line} imports ${to.startsWith('..') ? to : `src/${to}`}`
      if (to === '../package.json')
        continue // At the same place in the published package.
      else if (to.startsWith('..')) violations.push(`${where}: outside src/, so not in the published package`)
      else if (target === undefined || target === room || room.imports.includes(target.name)) continue
      else if (!room.imports.includes(`pure ${target.name}`))
        violations.push(`${where}: ${room.name} may not import ${target.name}`)
      else if (impure.has(to)) violations.push(`${where}: ${room.name} may import of ${target.name} only what reaches no port`)
    }
  }
  return [...violations, ...checkCore(graph), ...cycles(graph)]
}

function roomOf(file: string): Room | undefined {
  return rooms.find((room) => room.files.some((glob) => matchesGlob(file, glob)))
}

function checkOutside(file: string, { from, line }: Import): string[] {
  const rule = outside.find(({ module }) => module.test(from))
  if (rule === undefined)
    return from.startsWith('node:') ? [] : [`src/${file}:${line} imports ${from}: nothing in src/ depends on it`]
  if (rule.files.some((glob) => matchesGlob(file, glob))) return []
  return [`src/${file}:${line} imports ${from}: only ${rule.files.join(', ')} may`]
}

type Graph = ReadonlyMap<string, readonly { readonly to: string; readonly line: number }[]>

/** Files from which a port can be reached. */
function reachingPorts(graph: Graph): Set<string> {
  const reaching = new Set([...graph.keys()].filter((file) => roomOf(file)?.name === 'ports'))
  for (let before = -1; before !== reaching.size; ) {
    before = reaching.size
    for (const [file, imports] of graph) if (imports.some(({ to }) => reaching.has(to))) reaching.add(file)
  }
  return reaching
}

function checkCore(graph: Graph): string[] {
  const violations: string[] = []
  const wayTo = new Map([[core.entry, core.entry]])
  for (const [file, way] of wayTo) {
    for (const { to } of graph.get(file) ?? []) {
      if (wayTo.has(to)) continue
      wayTo.set(to, `${way} → ${to}`)
      const room = roomOf(to)?.name ?? ''
      if (core.never.includes(room)) violations.push(`src/${core.entry} loads ${room}: ${wayTo.get(to)}`)
    }
  }
  return violations
}

function cycles(graph: Graph): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (file: string, way: readonly string[]): void => {
    const start = way.indexOf(file)
    if (start >= 0) found.push(`import cycle: ${[...way.slice(start), file].join(' → ')}`)
    if (start >= 0 || done.has(file)) return
    for (const { to } of graph.get(file) ?? []) visit(to, [...way, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

if (import.meta.main) {
  const src = fileURLToPath(new URL('../src/', import.meta.url))
  const names = readdirSync(src, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'))
  const files = new Map(names.filter((name) => name.endsWith('.ts')).map((name) => [name, readFileSync(src + name, 'utf8')]))
  const violations = checkImports(files)
  for (const violation of violations) console.error(violation)
  console.log(
    `imports: ${files.size} files, ${violations.length === 0 ? 'all point one way' : `${violations.length} violations`}`,
  )
  process.exitCode = violations.length === 0 ? 0 : 1
}
