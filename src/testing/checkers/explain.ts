import type { History } from '../history.ts'
import type { Violation } from './violation.ts'
import { checkerNames } from './violation.ts'

export interface ExplainOptions {
  /** Violations shown of each checker, those with the least evidence first: from 1, default 3. */
  readonly limit?: number
}

/**
 * The report for a person: of each checker how many violations there are, and the smallest of them with one sentence and, given
 * the history, the operations that show it.
 */
export function explain(violations: readonly Violation[], history?: History, { limit = 3 }: ExplainOptions = {}): string {
  if (violations.length === 0) return 'No violation was found.\n'
  const lines: string[] = []
  for (const checker of checkerNames) {
    const found = violations.filter((violation) => violation.checker === checker).sort(smallestFirst)
    if (found.length === 0) continue
    lines.push(`${checker}: ${found.length} ${found.length === 1 ? 'violation' : 'violations'}`)
    for (const { what, evidence } of found.slice(0, limit)) {
      lines.push(`  ${what}`)
      if (history === undefined) lines.push(`    operations ${evidence.join(', ')}`)
      else lines.push(...evidence.map((index) => `    ${index}  ${JSON.stringify(history[index])}`))
    }
    if (found.length > limit) lines.push(`  and ${found.length - limit} more`)
  }
  return `${lines.join('\n')}\n`
}

function smallestFirst(a: Violation, b: Violation): number {
  return a.evidence.length - b.evidence.length || (a.evidence[0] ?? 0) - (b.evidence[0] ?? 0)
}
