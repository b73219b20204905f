import type { OutsideWorld } from './outside-world.ts'
import type { Published, SqliteWorld } from './sqlite-world.ts'

/** What is there when all is quiet, each part as sorted texts: tables, messages, attention, the outside world's ledger. */
export type FinalState = ReadonlyMap<string, readonly string[]>

export function finalState(
  sqlite: SqliteWorld,
  run: { readonly published: readonly Published[]; readonly outside: OutsideWorld },
  ignored: ReadonlySet<string>,
): FinalState {
  const state = new Map(sqlite.userRows(ignored))
  for (const [topic, messages] of Map.groupBy(run.published, (one) => one.topic))
    state.set(`topic ${topic}`, messages.map(({ data }) => data).sort())
  state.set('attention', sqlite.attention())
  state.set('the outside world', run.outside.ledger())
  return state
}

/** One sentence about the first difference; undefined when there is none. */
export function differenceOf(state: FinalState, expected: FinalState): string | undefined {
  for (const part of new Set([...expected.keys(), ...state.keys()])) {
    const rows = expected.get(part) ?? []
    const found = state.get(part) ?? []
    const extra = without(found, rows)
    const missing = without(rows, found)
    if (extra.length === 0 && missing.length === 0) continue
    const list = (some: readonly string[]): string => `${some.slice(0, 2).join(' and ')}${some.length > 2 ? ' …' : ''}`
    if (extra.length > 0 && missing.length > 0)
      return `In ${part} there is ${list(extra)} where, without faults, there is ${list(missing)}.`
    if (extra.length > 0) return `In ${part} there is ${list(extra)}, which without faults is not there.`
    return `In ${part} there is no ${list(missing)}, which without faults is there.`
  }
  return undefined
}

function without(rows: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const row of others) left.set(row, (left.get(row) ?? 0) + 1)
  return rows.filter((row) => {
    const times = left.get(row) ?? 0
    if (times > 0) left.set(row, times - 1)
    return times === 0
  })
}
