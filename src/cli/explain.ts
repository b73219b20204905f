import { readFileSync, writeFileSync } from 'node:fs'
import { OnefoldError } from '../errors.ts'
import { explainText } from '../guarantee/explain.ts'
import type { Guarantee } from '../guarantee/guarantee.ts'
import { differencesOf, snapshotOf } from '../guarantee/snapshot.ts'
import { parseJson } from '../parse-json.ts'
import { defineCommand } from './command.ts'
import { databaseTarget } from './database-target.ts'
import { explainFile, renderFile } from './explain-file.ts'
import { loadApp } from './load-app.ts'
import { plural, printableLines } from './readable.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

export const explain = defineCommand({
  name: 'explain',
  summary: 'what is guaranteed, what is not, and which line of configuration weakens it',
  usage: ['explain MODULE', 'explain MODULE --write FILE | --check FILE', 'explain [--db FILE]'],
  description: [
    'MODULE is a JavaScript or TypeScript file whose default export is the app. It is loaded, which runs it, and nothing else: no ' +
      'database is opened and nothing is started. What is shown is composed from what database, broker and declared calls claim ' +
      'about themselves and from how the topics and consumers are declared.',
    '--write keeps the facts of that in a file for version control, without sentences, versions, paths or times; --check compares ' +
      'with it and exits with 1 when something is different, so that a weaker guarantee is seen in review.',
    'Without MODULE it shows what the database alone can tell, and names what only the program knows.',
  ],
  promise: 'Every sentence is about the configuration given, and start() refuses what is shown as refused. Nothing is changed.',
  options: {
    write: { kind: 'text', value: 'FILE', help: 'write the snapshot of the guarantee' },
    check: { kind: 'text', value: 'FILE', help: 'compare with that snapshot; exit code 1 when something differs' },
  },
  examples: [
    'onefold explain app.ts',
    'onefold explain app.ts --check guarantee.json',
    "onefold explain app.ts --json | jq '.consumers[] | {topic, group, semantics, weakenedBy}'",
  ],

  async run({ values, positionals, terminal, runtime, environment }) {
    const [module, ...rest] = positionals
    if (rest.length > 0) throw new UsageError(`explain takes one MODULE, but got ${JSON.stringify(rest[0])} as well`)
    if (values.write !== undefined && values.check !== undefined)
      throw new UsageError('--write accepts what is, --check compares with what was: choose')
    if (module === undefined) {
      const option = values.write !== undefined ? '--write' : values.check !== undefined ? '--check' : undefined
      if (option !== undefined) throw new UsageError(`${option} needs a MODULE: a database does not know all of the guarantee`)
      const explained = await explainFile(databaseTarget(values, environment), runtime)
      if (values.json) await terminal.json(explained)
      else await terminal.write(renderFile(explained))
      return 0
    }
    if (values.db !== undefined || values.schema !== undefined)
      throw new UsageError(
        `${values.db === undefined ? '--schema' : '--db'} goes without a MODULE: the app names its own database`,
      )
    const app = await loadApp(module)
    let guarantee: Guarantee
    try {
      guarantee = app.explain()
    } finally {
      // Opened nothing itself; a module that did anyhow is not to keep this process alive.
      await app.stop()
    }
    if (values.write !== undefined) return await write(guarantee, values.write, values, terminal)
    if (values.check !== undefined) return await check(guarantee, values.check, { module, json: values.json }, terminal)
    if (values.json) await terminal.json(guarantee)
    else await terminal.write(printableLines(explainText(guarantee)))
    return 0
  },
})

async function write(
  guarantee: Guarantee,
  file: string,
  { json }: { readonly json: boolean },
  terminal: Terminal,
): Promise<number> {
  try {
    writeFileSync(file, snapshotOf(guarantee))
  } catch (error) {
    throw new OnefoldError('NOT_POSSIBLE', `${file} cannot be written: ${(error as Error).message}.`, {
      details: { file },
      cause: error,
    })
  }
  if (json) await terminal.json({ written: file })
  else await terminal.write(`The guarantee is written to ${file}.\n`)
  return 0
}

async function check(
  guarantee: Guarantee,
  file: string,
  { module, json }: { readonly module: string; readonly json: boolean },
  terminal: Terminal,
): Promise<number> {
  const accept = `onefold explain ${module} --write ${file}`
  const differences = differencesOf(readSnapshot(file, accept), parseJson(snapshotOf(guarantee)))
  const same = differences.length === 0
  if (json) await terminal.json({ same, differences, ...(same ? {} : { accept }) })
  else if (same) await terminal.write(`The guarantee is what ${file} says.\n`)
  else {
    const lines = differences.map(({ path, was, is }) => `  ${path}: ${was ?? 'absent'} → ${is ?? 'absent'}`)
    await terminal.write(
      printableLines(
        [`${plural(differences.length, 'fact')} of the guarantee not as in ${file}:`, ...lines, `Accept it: ${accept}`, ''].join(
          '\n',
        ),
      ),
    )
  }
  return same ? 0 : 1
}

function readSnapshot(file: string, accept: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new OnefoldError('NOT_FOUND', `there is no snapshot at ${file} (${(error as Error).message}); make one: ${accept}`, {
      details: { file },
      cause: error,
    })
  }
  try {
    return parseJson(text)
  } catch (error) {
    throw new OnefoldError('NOT_POSSIBLE', `${file} is no snapshot: ${(error as Error).message}. Make one: ${accept}`, {
      details: { file },
      cause: error,
    })
  }
}
