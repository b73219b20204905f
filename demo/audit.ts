/**
 * The judge. Pure functions over rows of the demo's own tables: what was sent, what was written by handlers, and the
 * running totals. Nothing here knows Onefold or reads one of its tables.
 */

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
  const sentById = new Map(sent.map((each) => [each.delivery, each]))
  const seen = new Set<string>()
  const newest = new Map<string, Applied>()
  const wrong = new Map<string, string>()
  const first = new Map<string, string>()
  const note = (kind: string, sentence: string): void => {
    if (!first.has(kind)) first.set(kind, `${what}: ${sentence}`)
  }
  let appliedTwice = 0
  let foreign = 0
  let keyOrderViolations = 0
  for (const row of applied) {
    const original = sentById.get(row.delivery)
    if (original?.repository !== row.repository || original.n !== row.n || original.amount !== row.amount) {
      foreign++
      note('foreign', `a row of delivery ${row.delivery} is not what was sent`)
      continue
    }
    if (row.countAfter !== row.n && !wrong.has(row.repository)) {
      wrong.set(row.repository, `${row.repository} counted ${row.countAfter} at its event number ${row.n}`)
    }
    if (seen.has(row.delivery)) {
      appliedTwice++
      note('twice', `delivery ${row.delivery} (${row.repository} number ${row.n}) was applied again`)
      continue
    }
    seen.add(row.delivery)
    const before = newest.get(row.repository)
    if (before !== undefined && before.n > row.n) {
      keyOrderViolations++
      note('order', `${row.repository} number ${row.n} was applied after number ${before.n}`)
    } else {
      newest.set(row.repository, row)
    }
  }
  const lost = sent.filter(({ delivery }) => !seen.has(delivery))
  if (lost[0] !== undefined)
    note('lost', `delivery ${lost[0].delivery} (${lost[0].repository} number ${lost[0].n}) was never applied`)
  for (const [repository, sentence] of wrongTotals(sent, totals)) if (!wrong.has(repository)) wrong.set(repository, sentence)
  for (const sentence of wrong.values()) note('totals', sentence)
  return { lost: lost.length, appliedTwice, foreign, keyOrderViolations, totalsWrong: wrong.size, examples: [...first.values()] }
}

function* wrongTotals(sent: readonly Sent[], totals: readonly Total[]): Iterable<[string, string]> {
  const expected = new Map<string, { count: number; amount: number }>()
  for (const { repository, amount } of sent) {
    const sum = expected.get(repository) ?? { count: 0, amount: 0 }
    expected.set(repository, { count: sum.count + 1, amount: sum.amount + amount })
  }
  const found = new Map(totals.map((total) => [total.repository, total]))
  for (const repository of new Set([...expected.keys(), ...found.keys()])) {
    const right = expected.get(repository) ?? { count: 0, amount: 0 }
    const is = found.get(repository) ?? { count: 0, amount: 0 }
    if (right.count !== is.count || right.amount !== is.amount) {
      yield [
        repository,
        `${repository} stands at ${is.count} events, sum ${is.amount}; sent were ${right.count}, sum ${right.amount}`,
      ]
    }
  }
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
