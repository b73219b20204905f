import type { CheckerName } from '../src/testing/index.ts'
import type { FaultKind } from './fault-kinds.ts'
import { whatItIs } from './fault-kinds.ts'
import type { Result } from './run.ts'

/** Which checkers speak of what; the others are counted in `otherViolations`. */
const counted = {
  lost: ['no-loss', 'call-silence', 'liveness', 'key-gap'],
  appliedTwice: ['no-duplicate-effect', 'charged-once'],
  keyOrderViolations: ['key-order'],
  unknownUnresolved: ['honest-unknowns'],
} as const satisfies Record<string, readonly CheckerName[]>

/** What `--json` prints. */
export function documentOf(result: Result) {
  const { settings, verdicts, faults, skipped } = result
  const violations = verdicts.flatMap((verdict) => verdict.violations)
  const about = (checkers: readonly CheckerName[]): number =>
    new Set(
      violations.filter(({ checker }) => checkers.includes(checker)).map(({ about, what }) => JSON.stringify(about ?? what)),
    ).size
  const named: readonly CheckerName[] = Object.values(counted).flat()
  const sum = (field: 'messages' | 'acknowledged' | 'charges' | 'fenced' | 'suppressed'): number =>
    verdicts.reduce((total, verdict) => total + verdict[field], 0)
  return {
    engine: settings.engine,
    synchronous: settings.synchronous,
    seconds: Math.round(result.seconds * 10) / 10,
    seed: settings.seed,
    faults: faults.length,
    faultsByKind: Object.fromEntries(
      settings.only.map((kind) => [kind, faults.filter((fault) => fault.kind === kind).length]),
    ) as Partial<Record<FaultKind, number>>,
    places: placesOf(result),
    messages: sum('messages'),
    acknowledged: sum('acknowledged'),
    charges: sum('charges'),
    processesStarted: result.starts,
    startsRefused: result.refused.length,
    fencedCommits: sum('fenced'),
    repeatsSuppressed: sum('suppressed'),
    lost: about(counted.lost),
    appliedTwice: about(counted.appliedTwice),
    keyOrderViolations: about(counted.keyOrderViolations),
    unknownUnresolved: about(counted.unknownUnresolved),
    otherViolations: violations.filter(({ checker }) => !named.includes(checker)).length,
    otherwise: verdicts.flatMap((verdict) => verdict.otherwise),
    skipped,
    evidence: result.evidence,
  }
}

/** Nothing was violated, and something was tried. */
export function isGood(result: Result): boolean {
  return (
    result.faults.length > 0 &&
    result.verdicts.every(({ violations, otherwise }) => violations.length === 0 && otherwise.length === 0)
  )
}

function placesOf({ faults }: Result): Record<string, Record<string, number>> {
  const places: Record<string, Record<string, number>> = {}
  for (const { kind, where } of faults) {
    const ofKind = places[kind] ?? {}
    places[kind] = ofKind
    ofKind[where] = (ofKind[where] ?? 0) + 1
  }
  return places
}

export function markdownOf(result: Result): string {
  const document = documentOf(result)
  const { settings, verdicts, skipped } = result
  const sync = settings.engine === 'sqlite' ? 'synchronous' : 'commits'
  const consumers =
    settings.synchronous === 'FULL'
      ? 'effectively once: a ledger, a board that hears of it, and billing with a declared call'
      : `at least once: with ${sync} NORMAL, \`start()\` refuses effectively-once`
  const lines = [
    `# Torture of ${settings.engine}`,
    '',
    `Seed ${settings.seed}, ${sync} ${settings.synchronous}, consumers ${consumers}.`,
    `${document.faults} faults in ${document.seconds} s on ${document.processesStarted} processes; ${document.messages} messages, ` +
      `${document.acknowledged} acknowledged, ${document.charges} charges in the provider's ledger; ${document.fencedCommits} commits fenced, ` +
      `${document.repeatsSuppressed} repeats suppressed, ${document.startsRefused} starts refused while ${settings.engine === 'sqlite' ? 'the disk failed' : 'the server was away'}.`,
    '',
    '## Faults',
    '',
    '| kind | faults | what it is |',
    '|---|---:|---|',
    ...settings.only
      .filter((kind) => !skipped.some((skip) => skip.kind === kind))
      .map((kind) => `| ${kind} | ${document.faultsByKind[kind]} | ${whatItIs[kind]} |`),
    '',
    '## Where they hit',
    '',
    '| kind | where | faults |',
    '|---|---|---:|',
    ...settings.only.flatMap((kind) =>
      Object.entries(document.places[kind] ?? {})
        .sort(([, a], [, b]) => b - a)
        .map(([where, count]) => `| ${kind} | ${where} | ${count} |`),
    ),
    '',
    '## Skipped',
    '',
    ...(skipped.length === 0 ? ['Nothing.'] : skipped.map(({ kind, reason }) => `- ${kind}: ${reason}`)),
    '',
    '## Verdict',
    '',
    '| lost | applied or charged twice | out of order | unknown and unresolved | other |',
    '|---:|---:|---:|---:|---:|',
    `| ${document.lost} | ${document.appliedTwice} | ${document.keyOrderViolations} | ${document.unknownUnresolved} | ${document.otherViolations + document.otherwise.length} |`,
    '',
    verdictOf(result),
    ...(result.evidence === undefined
      ? []
      : ['', `The files, the histories and what the processes said are in ${result.evidence}.`]),
    ...verdicts
      .filter(({ violations }) => violations.length > 0)
      .flatMap(({ arena, explained }) => ['', `### ${arena}`, '', '```', explained.trimEnd(), '```']),
    ...document.otherwise.slice(0, 10).map((story) => `\n\`\`\`\n${story}\n\`\`\``),
    '',
  ]
  return lines.join('\n')
}

function verdictOf(result: Result): string {
  if (result.faults.length === 0) return 'No fault was injected: this run shows nothing.'
  return isGood(result) ? `No violation in ${result.faults.length} faults.` : 'VIOLATED:'
}
