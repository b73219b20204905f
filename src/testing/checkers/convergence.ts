import type { History } from '../history.ts'
import type { Reading } from './reading.ts'
import { readingOf } from './reading.ts'
import type { CheckOptions, Violation } from './violation.ts'
import { violation } from './violation.ts'

/** Two snapshots of one thing to which the same facts have been applied, in whatever order and by whichever replica, show the same state. */
export function convergence(history: History | Reading, options?: CheckOptions): Violation[] {
  const found: Violation[] = []
  const first = new Map<string, { readonly index: number; readonly replica: string; readonly state: string }>()
  for (const { index, operation } of readingOf(history, options).snapshots) {
    const { of, facts, replica = '' } = operation
    if (facts === undefined) continue
    const state = stableText(operation.state)
    const same = JSON.stringify([of, [...new Set(facts)].sort()])
    const before = first.get(same)
    if (before === undefined) first.set(same, { index, replica, state })
    else if (before.state !== state) {
      const who = before.replica === replica ? 'Two snapshots' : `Replicas ${before.replica || 'one'} and ${replica || 'another'}`
      const what = `${who} of ${of} have seen the same ${facts.length} facts and differ.`
      found.push(violation('convergence', what, [before.index, index]))
    }
  }
  return found
}

/** JSON with the properties of every object in one order. */
function stableText(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      inner === null || typeof inner !== 'object' || Array.isArray(inner)
        ? inner
        : Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))),
    ) ?? ''
  )
}
