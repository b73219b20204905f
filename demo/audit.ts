/**
 * The judge. Pure functions over rows of the demo's own tables: what was sent, what was written by handlers, and the running
 * totals. They are told as a history to the checkers of onefold/testing; nothing here reads one of Onefold's tables.
 */
import type { CheckerName, CheckOptions, Operation } from '../src/testing/index.ts'
import { checkers, Reading } from '../src/testing/index.ts'

/** One message that was sent, in the order of sending. */
export interface Sent {
  readonly delivery: string
  readonly repository: string
  /** 1, 2, 3 … per repository. */
  readonly n: number
  readonly amount: number
}

/** One row a handler wrote, in the order in which rows were committed. */
export interface Applied {
  readonly delivery: string
  readonly repository: string
  readonly n: number
  readonly amount: number
  /** The repository's running count as the handler saw it after its own update: must be `n`. */
  readonly countAfter: number
}

/** One repository's running total. */
export interface Total {
  readonly repository: string
  readonly count: number
  readonly amount: number
}

export interface Findings {
  /** Sent, but no row. */
  readonly lost: number
  /** Rows beyond the first of a delivery. */
  readonly appliedTwice: number
  /** Rows of a delivery that nobody sent, or with other content than was sent. */
  readonly foreign: number
  /** Deliveries applied after a later one of the same repository. Repeats and losses do not count here. */
  readonly keyOrderViolations: number
  /** Repositories whose running count or sum is not what was sent, or was not at some moment. */
  readonly totalsWrong: number
  /** One sentence about the first violation of each kind. */
  readonly examples: readonly string[]
}

export function auditEffects(
  what: string,
  sent: readonly Sent[],
  applied: readonly Applied[],
  totals: readonly Total[],
): Findings {
  const history: readonly Operation[] = [
    { op: 'consumer', topic: what, group: what },
    ...sent.map((each) => published(what, each)),
    ...applied.map((row): Operation => ({ op: 'effect', topic: what, group: what, identity: nameOf(row), outcome: 'happened' })),
    ...runningCounts(applied),
    ...finalTotals(sent, totals),
    { op: 'end', quiet: true },
  ]
  const reading = new Reading(history, options)
  const examples: string[] = []
  /** What each violation is about: a delivery or, where a snapshot shows it, a repository. */
  const found = (checker: CheckerName, sentence: string): readonly string[] => {
    const violations = checkers[checker](reading)
    const [first] = violations
    if (first !== undefined)
      examples.push(`${what}: ${first.about ? `delivery ${first.about.identity} ${sentence}` : first.what}`)
    return violations.map(({ about, evidence: [index = -1] }) => {
      const shown = history[index]
      return about?.identity ?? (shown?.op === 'snapshot' ? shown.of : '')
    })
  }
  return {
    foreign: found('no-phantom', 'has a row and is not what was sent').length,
    appliedTwice: found('no-duplicate-effect', 'was applied again').length,
    keyOrderViolations: found('key-order', 'was applied after a later one').length,
    lost: found('no-loss', 'was never applied').length,
    totalsWrong: new Set(found('conservation', '')).size,
    examples,
  }
}

/** A row with other content than was sent has another name, and nobody sent that. */
function nameOf({ delivery, repository, n, amount }: Sent): string {
  return `${delivery} (${repository} number ${n}, amount ${amount})`
}

function published(topic: string, each: Sent): Operation {
  const { repository: key, n: order } = each
  return { op: 'publish', topic, identity: nameOf(each), key, outcome: 'happened', producer: 'sender', order }
}

/** Numbers that a repository showed, and what they should have been. */
interface Standing {
  readonly is: number[]
  readonly right: number[]
}

const options: CheckOptions = {
  promises: {
    conservation: (state) => {
      const { is, right } = state as Standing
      const wrong = right.findIndex((number, index) => number !== is[index])
      return wrong < 0 ? undefined : `it stood at ${is[wrong]} where ${right[wrong]} is right`
    },
  },
}

function snapshot(repository: string, state: Standing): Operation {
  return { op: 'snapshot', of: repository, state }
}

/** What each handler counted after its own update: the number of its own message. */
function runningCounts(applied: readonly Applied[]): Operation[] {
  const counts = new Map<string, Standing>()
  for (const { repository, countAfter, n } of applied) {
    const { is, right } = counts.get(repository) ?? { is: [], right: [] }
    is.push(countAfter)
    right.push(n)
    counts.set(repository, { is, right })
  }
  return [...counts].map(([repository, state]) => snapshot(repository, state))
}

function finalTotals(sent: readonly Sent[], totals: readonly Total[]): Operation[] {
  const right = new Map<string, number[]>()
  for (const { repository, amount } of sent) {
    const [count = 0, sum = 0] = right.get(repository) ?? []
    right.set(repository, [count + 1, sum + amount])
  }
  const is = new Map(totals.map(({ repository, count, amount }) => [repository, [count, amount]]))
  return [...new Set([...right.keys(), ...is.keys()])].map((repository) =>
    snapshot(repository, { is: is.get(repository) ?? [0, 0], right: right.get(repository) ?? [0, 0] }),
  )
}

export function addFindings(all: readonly Findings[]): Findings {
  const sum = (pick: (findings: Findings) => number): number => all.reduce((total, findings) => total + pick(findings), 0)
  return {
    lost: sum((each) => each.lost),
    appliedTwice: sum((each) => each.appliedTwice),
    foreign: sum((each) => each.foreign),
    keyOrderViolations: sum((each) => each.keyOrderViolations),
    totalsWrong: sum((each) => each.totalsWrong),
    examples: all.flatMap((each) => each.examples),
  }
}

/** What the demo's exit code says. */
export function isClean(findings: Omit<Findings, 'examples'>): boolean {
  return findings.lost + findings.appliedTwice + findings.foreign + findings.keyOrderViolations + findings.totalsWrong === 0
}
