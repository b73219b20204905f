/**
 * Makes mutants of the core by rule, lets the simulator look at each, and prints what it says. Minutes, not seconds.
 *
 *   node scripts/mutants.ts [--count 48] [--seed 1] [--file consume/lanes.ts]
 *
 * Ends with 1 where a mutant survives of which test/support/surviving-mutants.ts does not say why.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom } from '../src/testing/seeded-random.ts'
import { generateMutants } from '../test/support/generate-mutants.ts'
import type { Search } from '../test/support/simulator-judge.ts'
import { verdictOn } from '../test/support/simulator-verdict.ts'
import { copySource } from '../test/support/source-copy.ts'
import { whySurvives } from '../test/support/surviving-mutants.ts'

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '48' },
    seed: { type: 'string', default: '1' },
    file: { type: 'string' },
  },
})
const search: Search = {
  passes: [{ deviations: 0, maxSchedules: 1, compare: false }, { deviations: 1, maxSchedules: 400 }, { worlds: true }],
  budgetMs: 180_000,
}

const generated = generateMutants()
const chance = seededRandom('mutants', Number(values.seed))
const mutants = generated
  .filter(({ file }) => values.file === undefined || file === values.file)
  .map((mutant) => ({ mutant, rank: chance() }))
  .sort((a, b) => a.rank - b.rank)
  .slice(0, Number(values.count))
  .map(({ mutant }) => mutant)

let noticed = 0
let schedules = 0
const unexplained: string[] = []
const line = (mark: string, seconds: number, where: string, text: string, what: string): void =>
  console.log(`${mark} ${seconds.toFixed(1).padStart(5)} s  ${where.padEnd(46)} ${text.slice(0, 60).padEnd(60)}  ${what}`)
for (const { rule, file, line: number, text, within, source } of mutants) {
  const folder = mkdtempSync(join(tmpdir(), 'onefold-mutant-'))
  const startedMs = performance.now()
  copySource(folder)
  writeFileSync(join(folder, 'src', file), source)
  const verdict = await verdictOn(folder, search).catch((error: Error) => error)
  rmSync(folder, { recursive: true, force: true })
  const seconds = (performance.now() - startedMs) / 1_000
  const where = `${file}:${number}`
  if (verdict !== 'hangs' && !(verdict instanceof Error)) schedules = Math.max(schedules, verdict.schedules)
  const killed = verdict === 'hangs' || verdict instanceof Error || verdict.found !== undefined
  if (killed) {
    noticed++
    const how =
      verdict === 'hangs'
        ? 'hangs'
        : verdict instanceof Error
          ? 'does not run'
          : `${verdict.found?.rule} (${verdict.found?.subject})`
    line('-', seconds, where, text, how)
    continue
  }
  const why = whySurvives(file, text, within)
  line('!', seconds, where, text, `survives ${verdict.schedules} schedules: ${why ?? 'and nobody has said why'}`)
  if (why === undefined) unexplained.push(`${where}  ${text}  (${rule})`)
}
const survivors = mutants.length - noticed
console.log(
  `\n${generated.length} generated, ${mutants.length} looked at: ${noticed} noticed within ${schedules} schedules, ${survivors} survive, ${unexplained.length} of them without a reason.`,
)
if (unexplained.length > 0) {
  console.log(`Survive, and nobody has said why:\n${unexplained.map((one) => `  ${one}`).join('\n')}`)
  process.exitCode = 1
}
