/**
 * Makes mutants of the core by rule, lets the simulator look at each, and prints what it says. Minutes, not seconds.
 *
 *   node scripts/mutants.ts [--count 48] [--seed 1] [--file consume/lanes.ts]
 *   node scripts/mutants.ts --all --record /tmp/mutants.jsonl
 *
 * `--record` keeps a line of JSON for each, in a file outside the repository: whoever goes on later looks at the others only. A mutant
 * whose file has changed since is another one; what is to be looked at again for another reason, its line is taken out.
 *
 * Ends with 1 where a mutant survives of which test/support/surviving-mutants.ts does not say why.
 */
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom } from '../src/testing/seeded-random.ts'
import type { GeneratedMutant } from '../test/support/generate-mutants.ts'
import { generateMutants } from '../test/support/generate-mutants.ts'
import type { Search } from '../test/support/simulator-judge.ts'
import { verdictOn } from '../test/support/simulator-verdict.ts'
import { copySource } from '../test/support/source-copy.ts'
import { inWords, whySurvives } from '../test/support/surviving-mutants.ts'

/** What the simulator said of one mutant. */
interface Look {
  readonly mutant: string
  readonly where: string
  readonly text: string
  readonly seconds: number
  readonly schedules: number
  /** How it was noticed; undefined: it survives. */
  readonly noticed?: string
}

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '48' },
    all: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    file: { type: 'string' },
    record: { type: 'string' },
  },
})
const search: Search = {
  passes: [{ deviations: 0, maxSchedules: 1, compare: false }, { deviations: 1, maxSchedules: 400 }, { worlds: true }],
  // On a busy machine as many schedules take longer.
  budgetMs: 900_000,
}

const nameOf = ({ file, line, source }: GeneratedMutant): string =>
  createHash('sha256').update(`${file}:${line}\n${source}`).digest('hex').slice(0, 16)

async function lookAt(mutant: GeneratedMutant): Promise<Look> {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-mutant-'))
  const startedMs = performance.now()
  copySource(folder)
  writeFileSync(join(folder, 'src', mutant.file), mutant.source)
  const verdict = await verdictOn(folder, search).catch((error: Error) => error)
  rmSync(folder, { recursive: true, force: true })
  const look = {
    mutant: nameOf(mutant),
    where: `${mutant.file}:${mutant.line}`,
    text: mutant.text,
    seconds: Math.round((performance.now() - startedMs) / 100) / 10,
    schedules: 0,
  }
  if (verdict === 'hangs') return { ...look, noticed: 'hangs' }
  if (verdict instanceof Error) return { ...look, noticed: 'does not run' }
  const { schedules, found } = verdict
  return { ...look, schedules, ...(found === undefined ? {} : { noticed: `${found.rule} (${found.subject})` }) }
}

const known = new Map<string, Look>()
if (values.record !== undefined && existsSync(values.record))
  for (const line of readFileSync(values.record, 'utf8').split('\n').filter(Boolean)) {
    const look = JSON.parse(line) as Look
    known.set(look.mutant, look)
  }

const generated = generateMutants()
const chance = seededRandom('mutants', Number(values.seed))
const mutants = generated
  .filter(({ file }) => values.file === undefined || file === values.file)
  .map((mutant) => ({ mutant, why: whySurvives(mutant.file, mutant.text, mutant.within), rank: chance() }))
  .sort((a, b) => a.rank - b.rank)
  .slice(0, values.all ? generated.length : Number(values.count))
// What has a reason to survive takes longest and tells least.
mutants.sort((a, b) => Number(a.why !== undefined) - Number(b.why !== undefined))

const looks: Look[] = []
const unexplained: string[] = []
for (const { mutant, why } of mutants) {
  const before = known.get(nameOf(mutant))
  const look = before ?? (await lookAt(mutant))
  if (before === undefined && values.record !== undefined) appendFileSync(values.record, `${JSON.stringify(look)}\n`)
  looks.push(look)
  const { noticed, schedules, seconds, where, text } = look
  if (noticed === undefined && why === undefined) unexplained.push(`${where}  ${text}  (${mutant.rule})`)
  const mark = noticed === undefined ? '!' : '-'
  const what = noticed ?? `survives ${schedules} schedules: ${why === undefined ? 'and nobody has said why' : inWords(why)}`
  console.log(`${mark} ${seconds.toFixed(1).padStart(5)} s  ${where.padEnd(46)} ${text.slice(0, 60).padEnd(60)}  ${what}`)
}
const noticed = looks.filter((look) => look.noticed !== undefined)
const within = Math.max(0, ...noticed.map(({ schedules }) => schedules))
console.log(
  `\n${generated.length} generated, ${looks.length} looked at: ${noticed.length} noticed within ${within} schedules, ${looks.length - noticed.length} survive, ${unexplained.length} of them without a reason.`,
)
if (unexplained.length > 0) {
  console.log(`Survive, and nobody has said why:\n${unexplained.map((one) => `  ${one}`).join('\n')}`)
  process.exitCode = 1
}
